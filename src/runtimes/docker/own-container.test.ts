import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DockerConnection } from './connection.ts';
import { findOwnContainer, meantNetwork } from './own-container.ts';

const [A, B, GONE] = ['a', 'b', 'c'].map((digit) => digit.repeat(64));

interface Known {
  readonly id: string | undefined;
  readonly name: string;
  readonly hostName: string;
  readonly isRunning?: false;
}

/** Of the engine API what is asked here. */
function dockerWith(known: readonly Known[]): DockerConnection {
  const docker = {
    listContainers: async () =>
      known.filter(({ isRunning }) => isRunning !== false).map(({ id }) => ({ Id: id })),
    getContainer: (id: string) => ({
      async inspect() {
        const found = known.find((container) => container.id === id);
        if (found === undefined) throw Object.assign(new Error('no such container'), { statusCode: 404 });
        return {
          Id: id,
          Name: `/${found.name}`,
          State: { Running: found.isRunning !== false },
          Config: { Hostname: found.hostName },
          Mounts: [],
          NetworkSettings: { Networks: {} },
          HostConfig: {},
        };
      },
    }),
  };
  return {
    docker: docker as unknown as DockerConnection['docker'],
    address: { kind: 'unix', path: '/docker.sock' },
    host: 'unix:///docker.sock',
    call: (body) => body(new AbortController().signal),
  };
}

test('our own container is the one that /proc names, else the only one with our host name', async () => {
  const first = { id: A, name: 'vllm_gateway', hostName: 'gateway' };
  const second = { id: B, name: 'vllm_gateway_2', hostName: 'gateway' };
  const stopped = { ...first, isRunning: false } as const;
  const table: readonly (readonly [readonly Known[], string, string | null])[] = [
    // Two stacks with the same host name, and the configured name is the other one's.
    [[first, second], `/containers/${B}/hostname`, 'vllm_gateway_2'],
    [[first, second], `/containers/${GONE}/hostname /containers/${B}/hosts`, 'vllm_gateway_2'],
    [[first, second], `${B} ${A}`, 'vllm_gateway'],
    [[first, second], '', null],
    [[first], '', 'vllm_gateway'],
    [[stopped, second], '', 'vllm_gateway_2'],
    [[stopped, second], A ?? '', 'vllm_gateway_2'],
    [[{ ...first, hostName: 'other' }], '', null],
  ];
  for (const [known, text, wanted] of table) {
    const surroundings = { isInContainer: true, hostName: 'gateway', text };
    const own = await findOwnContainer(dockerWith(known), 'vllm_gateway', surroundings);
    assert.equal(own?.name ?? null, wanted, text);
  }
  const outside = { isInContainer: false, hostName: 'gateway', text: A ?? '' };
  assert.equal(await findOwnContainer(dockerWith([first]), 'vllm_gateway', outside), null);
});

test('a network of Compose is found by the name that its file says', () => {
  const own = { networks: ['bridge', 'shop_vllm_network'] };
  assert.equal(meantNetwork('vllm_network', own), 'shop_vllm_network');
  assert.equal(
    meantNetwork('vllm_network', { networks: ['vllm_network', 'shop_vllm_network'] }),
    'vllm_network',
  );
  assert.equal(meantNetwork('vllm_network', null), 'vllm_network');
  assert.equal(meantNetwork(null, own), null);
});
