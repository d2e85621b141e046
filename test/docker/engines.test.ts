/** What only a container shows: memory limits, devices, isolation, names, limits of its output. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { RecordingObserver } from '../../src/runtimes/recording-observer.ts';
import { createRecordingObserver } from '../../src/runtimes/recording-observer.ts';
import type { EngineHandle, LaunchSpec, Runtime } from '../../src/runtimes/runtime.ts';
import { NODE_IMAGE } from '../../tools/docker-lab/images.ts';
import type { DockerWorld } from './docker-world.ts';
import { openDockerWorld, program, specOf, temporaryDirectory } from './docker-world.ts';
import type { GatewayOptions } from './gateway-options.ts';
import { openGateway } from './gateway-options.ts';

const world = await openDockerWorld();

interface Bench {
  readonly world: DockerWorld;
  readonly runtime: Runtime;
  launch(
    script: string,
    changed?: Partial<LaunchSpec>,
  ): Promise<{ readonly handle: EngineHandle; readonly heard: RecordingObserver; readonly spec: LaunchSpec }>;
}

function withGateway(
  title: string,
  body: (bench: Bench, t: TestContext) => Promise<void>,
  options: Partial<GatewayOptions> = {},
): void {
  test(title, { skip: world === null ? 'no Docker here' : false }, async (t) => {
    assert.ok(world !== null);
    const runtime = await openGateway({
      host: world.daemon.host,
      stateId: `s${title.length}`,
      directory: temporaryDirectory(),
      ...options,
    });
    t.after(() => runtime.close());
    const launch: Bench['launch'] = async (script, changed) => {
      const spec = await specOf(runtime, program(script), changed);
      const heard = createRecordingObserver();
      const result = await runtime.launch(spec, heard);
      assert.ok(result.kind === 'launched', JSON.stringify(result));
      t.after(() => runtime.kill(result.handle));
      return { handle: result.handle, heard, spec };
    };
    await body({ world, runtime, launch }, t);
  });
}

withGateway('an engine that its memory limit kills is told so', async ({ world: { docker }, launch }) => {
  const { heard, handle } = await launch(
    'echo up; read -r go < /dev/null; while [ ! -e /go ]; do sleep 0.05; done; exec node -e "const a=[];for(;;)a.push(Buffer.alloc(1e7,1))"',
  );
  await heard.waitForLine(/up/);
  const container = docker.getContainer(handle.reference.replace('container ', ''));
  await container.update({ Memory: 64 * 1024 * 1024, MemorySwap: 64 * 1024 * 1024 });
  const exec = await container.exec({ Cmd: ['touch', '/go'] });
  await exec.start({ Detach: true });
  assert.deepEqual(await heard.waitForExit(), { code: null, signal: 'SIGKILL', hostMemory: true });
});

withGateway('its devices are handed over by their names', async ({ launch }) => {
  const { heard } = await launch('echo "[$NVIDIA_VISIBLE_DEVICES]"', {
    deviceSource: 'nvidia',
    deviceIds: ['GPU-a1', 'GPU-b2'],
  });
  assert.equal(await heard.waitForLine(/^\[/), '[GPU-a1,GPU-b2]');
});

withGateway('a container says whose it is, and is no more than it must be', async ({ world: w, launch }) => {
  const { handle, heard, spec } = await launch('echo up; sleep 300');
  await heard.waitForLine(/up/);
  assert.equal(handle.reference, `container vllm_server_org-Model-7B_${spec.launchId}`);
  const found = await w.docker.getContainer(handle.reference.replace('container ', '')).inspect();
  assert.equal(found.Config.Labels['vllm-gateway.launch-id'], spec.launchId);
  assert.equal(found.Config.Labels['vllm-gateway.model'], 'org/Model 7B');
  assert.equal(found.HostConfig.Privileged, false);
  assert.equal(found.HostConfig.RestartPolicy?.Name, 'no');
  assert.deepEqual(found.HostConfig.SecurityOpt, ['no-new-privileges']);
  assert.equal(readFileSync(`/proc/${found.State.Pid}/oom_score_adj`, 'utf8').trim(), '500');
});

withGateway('a process has its launch as owner; a stranger has none', async ({ runtime, launch }) => {
  const { heard, spec } = await launch('echo up; sleep 300');
  await heard.waitForLine(/up/);
  const pids = (await runtime.processes()).get(spec.launchId) ?? [];
  assert.ok(pids.length >= 2, `${pids}`);
  for (const pid of pids) assert.equal(runtime.ownerOf(pid), spec.launchId);
  assert.equal(runtime.ownerOf(process.pid), null);
});

withGateway('a removed container is an exit, with the reason', async ({ world: w, launch }) => {
  const { handle, heard } = await launch('echo up; sleep 300');
  await heard.waitForLine(/up/);
  await w.docker.getContainer(handle.reference.replace('container ', '')).remove({ force: true });
  const exit = await heard.waitForExit();
  assert.ok(exit.signal === 'SIGKILL' || /removed by somebody else/.test(exit.unknownBecause ?? ''));
  assert.equal(heard.exits.length, 1);
});

withGateway(
  'output beyond its limit is dropped by Docker, and lines go on',
  async ({ launch }) => {
    const { heard } = await launch(
      'i=0; while [ $i -lt 400 ]; do i=$((i+1)); printf "%01000d\\n" $i; done; sleep 0.2; echo done',
    );
    await heard.waitForExit();
    assert.equal(heard.lines.at(-1), 'done');
  },
  { outputLimitBytes: 20_000 },
);

withGateway(
  'launches at the same time all find out that limits cannot be raised here',
  async ({ launch }) => {
    const engines = await Promise.all([1, 2, 3].map(() => launch('echo up; sleep 300')));
    for (const { heard } of engines) await heard.waitForLine(/up/);
  },
);

withGateway('an image that is not there fails the launch', async ({ runtime }) => {
  const spec = await specOf(runtime, program('echo up'), { image: 'nowhere/to-be-found:1' });
  const result = await runtime.launch(spec, createRecordingObserver());
  assert.ok(result.kind === 'failed');
  assert.equal(result.cause, 'image_missing');
  // A launch pulls nothing, whatever `pull` says: that was done before it.
  assert.match(result.detail, /nowhere\/to-be-found:1 is not there any more/);
  const signal = new AbortController().signal;
  const prepared = await runtime.prepare('nowhere/to-be-found:1', { signal, onProgress: () => undefined });
  assert.ok(prepared.kind === 'failed' && prepared.cause === 'image_missing');
  assert.match(prepared.detail, /nowhere\/to-be-found:1 is not there, and `runtime.docker.pull` is `never`/);
});

withGateway(
  'a network that is not there fails the launch, and nothing is left',
  async ({ world: w, runtime }) => {
    const result = await runtime.launch(await specOf(runtime, program('echo up')), createRecordingObserver());
    assert.ok(result.kind === 'failed');
    assert.equal(result.cause, 'resources');
    assert.match(result.detail, /docker network create.*no_such_network/);
    const all = await w.docker.listContainers({ all: true });
    assert.deepEqual(
      all.filter(({ Image, State }) => Image === NODE_IMAGE && State === 'created'),
      [],
    );
  },
  { config: { network: 'no_such_network' } },
);

/** Answers everything on its socket, and on a port too where it is told so; who reached it is in the answer. */
const SERVER = `const h=require('http');const s=(r,w)=>w.end('executed '+r.url);
h.createServer(s).listen(process.argv[1],()=>console.log('up'));`;

withGateway(
  'nobody but the gateway reaches an engine: not a sibling, on whatever network',
  async ({ world: w, runtime, launch }, t) => {
    const network = await w.docker.createNetwork({ Name: 'vgt_siblings' });
    t.after(() => network.remove());
    const other = await openGateway({
      host: w.daemon.host,
      stateId: 'sib',
      directory: temporaryDirectory(),
      config: { network: 'vgt_siblings' },
    });
    t.after(() => other.close());
    for (const gateway of [runtime, other]) {
      const spec = await specOf(gateway, { argv: [], environment: {} });
      assert.ok(spec.listen.kind === 'unix');
      const heard = createRecordingObserver();
      const argv = ['node', '-e', SERVER, spec.listen.socketPath];
      const result = await gateway.launch({ ...spec, argv }, heard);
      assert.ok(result.kind === 'launched');
      t.after(() => gateway.kill(result.handle));
      await heard.waitForLine(/up/);
      assert.ok(result.handle.listen.kind === 'unix' && gateway.capabilities.unixSockets);
      assert.equal(await overSocket(result.handle.listen.socketPath), 'executed /collective_rpc');
      await siblingFails(w, result.handle, gateway === other ? 'vgt_siblings' : 'bridge', launch);
      await gateway.kill(result.handle);
    }
  },
);

async function overSocket(socketPath: string): Promise<string> {
  const { request } = await import('node:http');
  return await new Promise((resolve, reject) => {
    request({ socketPath, path: '/collective_rpc', method: 'POST' }, (answer) => {
      answer.setEncoding('utf8').once('data', resolve);
    })
      .once('error', reject)
      .end();
  });
}

/** A container beside the engine tries all its ports over TCP, and looks for its socket. */
async function siblingFails(
  { docker }: DockerWorld,
  handle: EngineHandle,
  network: string,
  launch: Bench['launch'],
): Promise<void> {
  const engine = await docker.getContainer(handle.reference.replace('container ', '')).inspect();
  const address = engine.NetworkSettings.Networks[network]?.IPAddress ?? '';
  assert.notEqual(address, '');
  const sibling = await docker.createContainer({
    Image: NODE_IMAGE,
    Cmd: ['node', '-e', SCANNER, address],
    HostConfig: { NetworkMode: network },
  });
  try {
    await sibling.start();
    await sibling.wait();
    const output = (await sibling.logs({ stdout: true, stderr: true })).toString('utf8');
    assert.match(output, /scanned 65535 open none sockets 0/, output);
  } finally {
    await sibling.remove({ force: true });
  }
  // And an engine of the same gateway, which has a directory of its own there, sees only that.
  const { heard } = await launch('ls -R /run/vllm-gateway | grep -c e.sock; echo looked');
  await heard.waitForLine(/looked/);
  assert.equal(heard.lines[0], '0');
}

const SCANNER = `const net=require('net'),fs=require('fs');let next=1,done=0;const open=[];
const sockets=fs.existsSync('/run/vllm-gateway')?1:0;
const one=()=>{if(next>65535)return;const port=next++;const s=net.connect({host:process.argv[1],port});
s.setTimeout(2000,()=>s.destroy());s.on('connect',()=>{open.push(port);s.destroy()});s.on('error',()=>{});
s.on('close',()=>{if(++done===65535)console.log('scanned',done,'open',open.join()||'none','sockets',sockets);else one()})};
for(let i=0;i<500;i++)one();`;
