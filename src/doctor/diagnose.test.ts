import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Check } from './check.ts';
import { diagnose } from './diagnose.ts';
import { factsFixture } from './facts-fixtures.ts';
import { NODE_MINIMUM } from './judge-machine.ts';
import type { MachineFacts } from './machine-facts.ts';

const good = factsFixture();
const [vllm] = good.vllm;
const [disk] = good.disks;
const [model] = good.models;
assert.ok(vllm !== undefined && disk !== undefined && model !== undefined);
const version = (said: typeof vllm.version): Partial<MachineFacts> => ({
  vllm: [{ ...vllm, version: said }],
});
const absent = (repo: string, hasToken = false) => ({ model: 'm', repo, place: 'hub' as const, hasToken });
const GROUP = 512;
const unit = { name: 'vllm-gateway.service', killMode: 'process', oomPolicy: 'continue', delegate: 'yes' };
const inUnit = (changes: Partial<typeof unit> | { readonly killMode: null }): Partial<MachineFacts> => ({
  service: { ...good.service, unit: { ...unit, ...changes } },
});
const inContainer = { ...good.service, isContainer: true };
const answering = {
  host: 'unix:///d.sock',
  engine: { kind: 'answered', version: '28.5.1', hasNvidia: true },
  pull: 'missing',
  missingImages: [],
  ownContainer: 'vllm_gateway',
  unmounted: [],
} as const;
const docker = (changes: Partial<NonNullable<MachineFacts['docker']>>): Partial<MachineFacts> => ({
  runtimeKind: 'docker',
  vllm: [],
  docker: { ...answering, ...changes },
});

/** What differs from the good machine, the check that sees it, how it judges, and what it says. */
const CASES: readonly (readonly [
  changes: Partial<MachineFacts>,
  id: string,
  status: Check['status'],
  found: RegExp,
  remedy?: RegExp,
])[] = [
  [
    { configuration: { source: 'm.yaml', faults: ['a', 'b', 'c', 'd', 'e'] } },
    'configuration',
    'fail',
    /^a; b; c; and 2 more$/,
    /check/,
  ],
  [{ nodeVersion: '22.17.9' }, 'node', 'fail', /22\.17\.9/, /22\.18/],
  [{ nodeVersion: '22.18.0' }, 'node', 'ok', /22\.18\.0/],
  [{ nodeVersion: '25.1.0' }, 'node', 'warn', /no long support/, /24/],
  [{ hasProc: false, platform: 'darwin' }, 'proc', 'warn', /darwin/, /Linux/],
  [{ vllm: [] }, 'vllm', 'ok', /no model runs vLLM/],
  [version({ kind: 'missing' }), 'vllm', 'fail', /`vllm` \(model m\) is not found/, /vllm_executable/],
  [version({ kind: 'hung', timeLimitS: 60 }), 'vllm', 'warn', /60 s/, /by hand/],
  [version({ kind: 'failed', text: 'ImportError: libcuda' }), 'vllm', 'fail', /ImportError/, /mend/],
  [
    { vllm: [{ ...vllm, unknownParsers: [{ model: 'm', parser: 'herms' }] }] },
    'vllm',
    'fail',
    /`herms` of model m/,
    /auto/,
  ],
  [
    { vllm: [vllm, { ...vllm, models: ['x', 'y'], version: { kind: 'missing' } }] },
    'vllm_x',
    'fail',
    /2 models/,
    /pip/,
  ],
  [
    { devices: { ...good.devices, isComplete: false, conditions: ['It hangs.'] } },
    'devices',
    'fail',
    /It hangs/,
    /driver/,
  ],
  [{ devices: { ...good.devices, devices: [] } }, 'devices', 'fail', /no device/, /--gpus all/],
  [{ devices: { ...good.devices, devices: [] }, devicesPerEngineMax: 0 }, 'devices', 'ok', /^no device/],
  [{ devicesPerEngineMax: 4 }, 'devices', 'fail', /spreads over 4/, /tensor_parallel_size/],
  [
    { devices: { ...good.devices, conditions: ['Pool `p` lacks one.'] } },
    'devices',
    'warn',
    /Pool `p`/,
    /conditions/,
  ],
  [{}, 'devices', 'ok', /^Card \(24 GiB\); driver 580\.95$/],
  [
    { devices: { ...good.devices, devices: good.devices.devices.map((one) => ({ ...one, usedMib: 9000 })) } },
    'devices',
    'warn',
    /8\.8 GiB of GPU-1 are in use/,
    /memory_limit_mib/,
  ],
  [{ devicesPerEngineMax: 2 }, 'shared_memory', 'warn', /64 MiB/, /--shm-size/],
  [
    { devicesPerEngineMax: 2, devices: { ...good.devices, sharedMemoryMib: 8192 } },
    'shared_memory',
    'ok',
    /8\.0 GiB/,
  ],
  [
    { memory: { totalMib: 2048, usedMib: 100, isLimited: true } },
    'memory',
    'fail',
    /control group/,
    /raise the limit/,
  ],
  [{ memory: { totalMib: 2048, usedMib: 100, isLimited: true }, vllm: [] }, 'memory', 'ok', /2\.0 GiB/],
  [{ memory: { totalMib: 10_000, usedMib: 9900, isLimited: false } }, 'memory', 'warn', /used/, /End/],
  [
    { disks: [{ ...disk, freeMib: 50 }] },
    'disk_model_weights',
    'fail',
    /50 MiB of 488 GiB/,
    /cannot be written/,
  ],
  [{ disks: [{ ...disk, freeMib: 9000 }] }, 'disk_model_weights', 'warn', /8\.8 GiB/, /HF_HOME/],
  [
    { disks: [{ ...disk, use: 'gateway state', kind: 'small', freeMib: 500 }] },
    'disk_gateway_state',
    'warn',
    /500 MiB/,
    /may soon/,
  ],
  [
    { disks: [{ ...disk, freeMib: null, totalMib: null }] },
    'disk_model_weights',
    'warn',
    /cannot be told/,
    /mounted/,
  ],
  [
    { hubCache: { ...good.hubCache, isWritable: false } },
    'hub_cache',
    'fail',
    /cannot be written/,
    /HF_HOME/,
  ],
  [{ hubCache: { ...good.hubCache, exists: false, sizeMib: null } }, 'hub_cache', 'ok', /will be made/],
  [{ hubCache: { ...good.hubCache, sizeMib: null } }, 'hub_cache', 'ok', /too many files/],
  [{ models: [{ ...model, place: 'missing_path' }] }, 'models', 'fail', /not there/, /repo/],
  [{ models: [absent('acme/m')] }, 'models', 'ok', /0 of 1 are here/],
  [
    { models: [absent('acme/m')], hubToken: { isSet: true, isOffline: true } },
    'models',
    'fail',
    /HF_HUB_OFFLINE/,
    /unset/,
  ],
  [{ models: [absent('meta-llama/L')] }, 'token', 'warn', /may be gated/, /HF_TOKEN/],
  [{ models: [absent('meta-llama/L', true)] }, 'token', 'ok', /none seems to be needed/],
  [
    { models: [absent('meta-llama/L')], hubToken: { isSet: true, isOffline: false } },
    'token',
    'ok',
    /is set/,
  ],
  [{ models: [absent('acme/m')] }, 'token', 'ok', /none seems to be needed/],
  [{ state: { ...good.state, isOurs: false } }, 'state_directory', 'fail', /another user/, /owner/],
  [
    { state: { ...good.state, isWritable: false, exists: false } },
    'state_directory',
    'fail',
    /cannot be made/,
    /may write/,
  ],
  [{ state: { ...good.state, ownerPid: 7 } }, 'state_directory', 'warn', /pid 7/, /of its own/],
  [{ port: { ...good.port, outcome: 'EADDRINUSE' } }, 'port', 'fail', /another program/, /server\.port/],
  [
    { port: { ...good.port, outcome: 'EADDRINUSE' }, state: { ...good.state, ownerPid: 7 } },
    'port',
    'warn',
    /probably by the gateway that runs \(pid 7\)/,
    /End it/,
  ],
  [{ port: { ...good.port, port: 80, outcome: 'EACCES' } }, 'port', 'fail', /may not listen/, /1024/],
  [
    { port: { ...good.port, host: '10.9.9.9', outcome: 'EADDRNOTAVAIL' } },
    'port',
    'fail',
    /no address/,
    /server\.host/,
  ],
  [{ port: { ...good.port, outcome: 'ENOTFOUND' } }, 'port', 'fail', /ENOTFOUND/, /server\.host/],
  [{ limits: { ...good.limits, openFiles: 1024 } }, 'open_files', 'warn', /1156/, /LimitNOFILE/],
  [{ limits: { ...good.limits, openFiles: 100 } }, 'open_files', 'fail', /up to 100/, /ulimit/],
  [{ limits: { ...good.limits, openFiles: null } }, 'open_files', 'ok', /no limit/],
  [{ limits: { ...good.limits, groupProcesses: GROUP } }, 'processes', 'warn', /up to 512/, /pids limit/],
  [{ limits: { ...good.limits, processes: 1000 } }, 'processes', 'warn', /up to 1000/, /ulimit -u/],
  [{ limits: { ...good.limits, inotifyWatches: 100 } }, 'inotify', 'warn', /100/, /sysctl/],
  [{}, 'survival', 'ok', /the next one adopts/],
  [{ devicesPerEngineMax: 0, service: inContainer }, 'survival', 'ok', /no engine/],
  [{ hasProc: false }, 'survival', 'warn', /not found again/, /\/proc/],
  [{ service: inContainer }, 'survival', 'warn', /takes them along/, /runtime\.kind: docker/],
  [{ runtimeKind: 'docker', service: inContainer }, 'survival', 'ok', /containers of their own/],
  [inUnit({}), 'survival', 'ok', /ends the gateway alone/],
  [inUnit({ killMode: 'control-group' }), 'survival', 'warn', /KillMode=control-group/, /KillMode=process/],
  [inUnit({ killMode: null }), 'survival', 'warn', /does not tell/, /systemctl show/],
  [inUnit({ oomPolicy: 'stop' }), 'survival', 'warn', /OOMPolicy=stop/, /OOMPolicy=continue/],
  [inUnit({ delegate: 'no' }), 'survival', 'warn', /Delegate=no/, /Delegate=yes/],
  [{}, 'oom_score', 'ok', /is 0; engines get a higher one/],
  [{ service: { ...good.service, oomScoreAdj: 1000 } }, 'oom_score', 'warn', /the highest/, /OOMScoreAdjust/],
  [{ service: { ...good.service, isOomScoreWritable: false } }, 'oom_score', 'warn', /cannot/, /\/proc/],
  [docker({}), 'docker', 'ok', /^Docker 28\.5\.1 at unix:\/\/\/d\.sock$/],
  [docker({}), 'vllm', 'ok', /images/],
  [
    docker({ engine: { kind: 'failed', text: 'ENOENT' } }),
    'docker',
    'fail',
    /unix:\/\/\/d\.sock: ENOENT/,
    /group/,
  ],
  [docker({}), 'docker_images', 'ok', /every image/],
  [docker({ missingImages: ['a:1', 'b:2'] }), 'docker_images', 'warn', /a:1, b:2; pulled/, /docker pull a:1/],
  [docker({ missingImages: ['a:1'], pull: 'never' }), 'docker_images', 'fail', /not there: a:1$/, /pull/],
  [docker({}), 'docker_nvidia', 'ok', /toolkit is there/],
  [
    docker({ engine: { ...answering.engine, hasNvidia: false } }),
    'docker_nvidia',
    'warn',
    /no NVIDIA container toolkit/,
    /nvidia-ctk/,
  ],
  [docker({}), 'docker_mounts', 'ok', /container vllm_gateway lie outside/],
  [
    docker({ unmounted: [{ use: 'gateway state', path: '/var/lib/vllm-gateway' }] }),
    'docker_mounts',
    'fail',
    /gateway state \(\/var\/lib\/vllm-gateway\)/,
    /Mount a volume/,
  ],
  [{ clock: { ...good.clock, nowMs: 0 } }, 'clock', 'fail', /1970/, /certificates/],
  [{ clock: { ...good.clock, isSynchronized: false } }, 'clock', 'warn', /not synchronised/, /set-ntp/],
  [{ clock: { ...good.clock, isSynchronized: null, installedMs: null } }, 'clock', 'ok', /2027/],
];

for (const [changes, id, status, found, remedy] of CASES) {
  test(`${id} is ${status}: ${found.source}`, () => {
    const check = diagnose(factsFixture(changes)).find((one) => one.id === id);
    assert.ok(check !== undefined, id);
    assert.equal(check.status, status, check.found);
    assert.match(check.found, found);
    if (remedy === undefined) assert.equal(check.remedy, null);
    else assert.match(check.remedy ?? '', remedy);
  });
}

test('a good machine has nothing but ok, each check once', () => {
  const checks = diagnose(good);
  assert.deepEqual(
    checks.filter(({ status }) => status !== 'ok'),
    [],
  );
  assert.equal(new Set(checks.map(({ id }) => id)).size, checks.length);
});

test('the least Node is the one of package.json', () => {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { engines } = JSON.parse(text) as { readonly engines: { readonly node: string } };
  assert.equal(engines.node, `>=${NODE_MINIMUM.join('.')}`);
});
