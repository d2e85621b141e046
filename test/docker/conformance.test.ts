import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runtimeConformance } from '../../src/runtimes/conformance.ts';
import type { ForeignProcess, RuntimeSite } from '../../src/runtimes/conformance-bench.ts';
import { LAUNCH_ID_LABEL, STATE_ID_LABEL } from '../../src/runtimes/docker/marks.ts';
import type { LaunchSpec } from '../../src/runtimes/runtime.ts';
import { NODE_IMAGE } from '../../tools/docker-lab/images.ts';
import type { DockerWorld } from './docker-world.ts';
import { openDockerWorld, program } from './docker-world.ts';
import { remembered } from './file-records.ts';
import type { GatewayOptions } from './gateway-options.ts';
import { openGateway } from './gateway-options.ts';

const GATEWAY = fileURLToPath(new URL('crashing-gateway.fixture.ts', import.meta.url));

const world = await openDockerWorld();
if (world === null) test('conformance of the Docker runtime', { skip: 'no Docker here' }, () => undefined);
else {
  runtimeConformance({
    name: 'docker',
    site: async () => siteIn(world),
    program,
    traits: {
      keepsOutputOrder: false,
      home: '/root',
      endsWithLeader: true,
      knowsAdoptedExits: true,
      sharesTcpAddress: true,
    },
  });
}

function siteIn({ daemon, docker }: DockerWorld): RuntimeSite {
  const directory = mkdtempSync(join(tmpdir(), 'd-'));
  const options: GatewayOptions = {
    host: daemon.host,
    stateId: randomBytes(4).toString('hex'),
    directory,
  };
  const containersOf = async (launchId: string) =>
    await docker.listContainers({ filters: { label: [`${LAUNCH_ID_LABEL}=${launchId}`] } });
  return {
    open: () => openGateway(options),
    openOther: () => openGateway({ ...options, stateId: 'other', directory: join(directory, 'other') }),
    launchAndCrash: (spec) => launchAndCrash(options, spec),
    async carriers(launchId) {
      const pids: number[] = [];
      for (const { Id } of await containersOf(launchId)) {
        // It may end meanwhile.
        const top: unknown = await docker
          .getContainer(Id)
          .top()
          .catch(() => null);
        pids.push(...pidsIn(top));
      }
      return pids;
    },
    alive: async (pid) => /\) [^ZX]/.test(await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')),
    async hostPid(launchId, pid) {
      const [container] = await containersOf(launchId);
      assert.ok(container !== undefined);
      const { State } = await docker.getContainer(container.Id).inspect();
      return await hostPidOf(State.Pid, pid);
    },
    remembered: async () => remembered(join(directory, 'launches')),
    startForeign: (kind, launchId) => startForeign({ daemon, docker }, options.stateId, kind, launchId),
    async dispose() {
      const label = [`${STATE_ID_LABEL}=${options.stateId}`];
      for (const { Id } of await docker.listContainers({ all: true, filters: { label } })) {
        await docker.getContainer(Id).remove({ force: true });
      }
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** `ps -ef` of a container, with the host's numbers. */
function pidsIn(top: unknown): readonly number[] {
  if (typeof top !== 'object' || top === null || !('Processes' in top)) return [];
  // Null of a container that ends in this moment.
  return ((top.Processes ?? []) as readonly (readonly string[])[]).map(([, pid]) => Number(pid));
}

async function launchAndCrash(options: GatewayOptions, spec: LaunchSpec): Promise<void> {
  const gateway = spawn(process.execPath, [GATEWAY, JSON.stringify(options), JSON.stringify(spec)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exit = once(gateway, 'exit');
  const up = await Promise.race([once(gateway.stdout, 'data').then(() => true), exit.then(() => false)]);
  assert.ok(up, 'the gateway ended before its engine was up');
  gateway.kill('SIGKILL');
  await exit;
}

/** A process by its number in the namespace of `neighbour`. */
async function hostPidOf(neighbour: number, inner: number): Promise<number> {
  const space = await readlink(`/proc/${neighbour}/ns/pid`);
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    if ((await readlink(`/proc/${name}/ns/pid`).catch(() => '')) !== space) continue;
    const status = await readFile(`/proc/${name}/status`, 'latin1').catch(() => '');
    if (/^NSpid:.*?(\d+)$/m.exec(status)?.[1] === String(inner)) return Number(name);
  }
  throw new Error(`no process is ${inner} beside ${neighbour}`);
}

async function startForeign(
  { docker }: DockerWorld,
  stateId: string,
  kind: 'unmarked' | 'other_state' | 'debris',
  launchId: string,
): Promise<ForeignProcess> {
  const marks = {
    unmarked: {},
    other_state: { [LAUNCH_ID_LABEL]: launchId, [STATE_ID_LABEL]: 'other' },
    debris: { [LAUNCH_ID_LABEL]: launchId, [STATE_ID_LABEL]: stateId },
  };
  const container = await docker.createContainer({
    name: `vllm_server_m_${launchId}`,
    Image: NODE_IMAGE,
    Cmd: ['sleep', '300'],
    Labels: marks[kind],
    HostConfig: { Init: true },
  });
  await container.start();
  return {
    alive: async () =>
      await container.inspect().then(
        ({ State }) => State.Running,
        () => false,
      ),
    end: async () => {
      await container.remove({ force: true }).catch(() => undefined);
    },
  };
}
