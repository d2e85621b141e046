import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContainerPlan } from './container-spec.ts';
import { containerOptions } from './container-spec.ts';
import { DOCKER_CONFIG, launchSpec } from './docker-fixtures.ts';
import { containerName } from './marks.ts';

function plan(changed: Partial<ContainerPlan> = {}): ContainerPlan {
  return {
    spec: launchSpec(),
    config: DOCKER_CONFIG,
    stateId: 'state-1',
    image: 'vllm/vllm-openai:v0.32.0',
    reach: 'socket',
    mounts: { mounts: [], environment: { HF_HOME: '/root/.cache/huggingface' } },
    key: null,
    launchNetwork: null,
    outputLimitBytes: 1_000_000,
    deviceGroups: [],
    raisesLimits: true,
    ...changed,
  };
}

test('the command replaces the image’s entrypoint, and arguments stay as they are', () => {
  const options = containerOptions(plan({ spec: launchSpec({ argv: ['vllm', 'serve', 'a b', ''] }) }));
  assert.deepEqual(options.Entrypoint, ['vllm']);
  assert.deepEqual(options.Cmd, ['serve', 'a b', '']);
  assert.equal(options.Image, 'vllm/vllm-openai:v0.32.0');
});

test('the environment is the launch’s, with our marks on top', () => {
  const spec = launchSpec({ environment: { HF_HOME: '/mine', VLLM_GATEWAY_STATE_ID: 'forged' } });
  const { Env } = containerOptions(plan({ spec, key: 'secret' }));
  assert.deepEqual(Env, [
    'HF_HOME=/mine',
    'VLLM_GATEWAY_STATE_ID=state-1',
    'VLLM_API_KEY=secret',
    'VLLM_GATEWAY_LAUNCH_ID=l-1',
  ]);
});

test('a container is bounded, unprivileged and never restarted by Docker', () => {
  const { HostConfig } = containerOptions(plan());
  assert.ok(HostConfig !== undefined);
  assert.equal(HostConfig.Privileged, false);
  assert.deepEqual(HostConfig.SecurityOpt, ['no-new-privileges']);
  assert.deepEqual(HostConfig.RestartPolicy, { Name: 'no' });
  assert.deepEqual(HostConfig.LogConfig, {
    Type: 'json-file',
    Config: { 'max-size': '1000000', 'max-file': '2' },
  });
  assert.equal(HostConfig.Init, true);
  assert.equal(HostConfig.IpcMode, 'private');
  assert.equal(HostConfig.OomScoreAdj, 500);
  assert.equal(HostConfig.ShmSize, DOCKER_CONFIG.shmBytes);
  assert.deepEqual(
    HostConfig.Ulimits?.map(({ Name }) => Name),
    ['memlock', 'stack'],
  );
  assert.equal(containerOptions(plan({ raisesLimits: false })).HostConfig?.Ulimits, undefined);
});

test('devices are handed over as each kind needs it', () => {
  const cases = [
    { deviceSource: 'nvidia', deviceIds: ['GPU-1', 'GPU-2'] },
    { deviceSource: 'amd', deviceIds: ['0'] },
    { deviceSource: 'simulated', deviceIds: ['SIM-0'] },
    { deviceSource: 'host', deviceIds: [] },
  ] as const;
  const [nvidia, amd, simulated, host] = cases.map(
    (changed) => containerOptions(plan({ spec: launchSpec(changed), deviceGroups: ['44'] })).HostConfig,
  );
  assert.deepEqual(nvidia?.DeviceRequests, [
    { Driver: 'nvidia', DeviceIDs: ['GPU-1', 'GPU-2'], Capabilities: [['gpu']] },
  ]);
  assert.equal(amd?.DeviceRequests, undefined);
  const device = (path: string) => ({ PathOnHost: path, PathInContainer: path, CgroupPermissions: 'rwm' });
  assert.deepEqual(amd?.Devices, [device('/dev/kfd'), device('/dev/dri')]);
  assert.deepEqual(amd?.GroupAdd, ['44']);
  for (const none of [simulated, host]) {
    assert.equal(none?.DeviceRequests, undefined);
    assert.equal(none?.Devices, undefined);
  }
});

test('a port is published on loopback alone, and only where engines are reached so', () => {
  const spec = launchSpec({ listen: { kind: 'tcp', host: '0.0.0.0', port: 8000 } });
  const published = containerOptions(plan({ spec, reach: 'port', key: 'k' }));
  assert.deepEqual(published.HostConfig?.PortBindings, {
    '8000/tcp': [{ HostIp: '127.0.0.1', HostPort: '' }],
  });
  const joined = containerOptions(plan({ spec, reach: 'network', launchNetwork: 'vllm-gateway-l-1' }));
  assert.equal(joined.HostConfig?.PortBindings, undefined);
  assert.equal(joined.HostConfig?.NetworkMode, 'vllm-gateway-l-1');
});

test('the configured network and user are the container’s', () => {
  const config = { ...DOCKER_CONFIG, network: 'vllm_network', user: '1000:1000' };
  const options = containerOptions(plan({ config }));
  assert.equal(options.HostConfig?.NetworkMode, 'vllm_network');
  assert.equal(options.User, '1000:1000');
});

test('names are ones that Docker takes, and readable', () => {
  assert.equal(containerName('vllm_server', 'qwen2.5-7b', 'mabc-1'), 'vllm_server_qwen2.5-7b_mabc-1');
  assert.equal(containerName('', '../ä b', 'mabc-1'), 'b_mabc-1');
  assert.equal(containerName('-x', 'é', 'mabc-1'), 'x_mabc-1');
  assert.ok(containerName('p', 'm'.repeat(300), 'mabc-1').length < 64);
});
