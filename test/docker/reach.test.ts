/** How a gateway reaches its engines: from a container by a shared volume or by a network, from the host by a port. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { createRecordingObserver } from '../../src/runtimes/recording-observer.ts';
import type { LaunchSpec } from '../../src/runtimes/runtime.ts';
import { NODE_IMAGE } from '../../tools/docker-lab/images.ts';
import type { ContainedReport } from './contained-gateway.fixture.ts';
import type { DockerWorld } from './docker-world.ts';
import { openDockerWorld, specOf, temporaryDirectory } from './docker-world.ts';
import { type GatewayOptions, openGateway } from './gateway-options.ts';

const ROOT = path.dirname(path.dirname(import.meta.dirname));
const FIXTURE = path.join(import.meta.dirname, 'contained-gateway.fixture.ts');
const run = promisify(execFile);

/** Tells what it was asked with; the address comes last. */
const ENGINE = `require('http').createServer((q,r)=>r.end((q.headers.authorization||'no key')+' '+
(q.headers.authorization==='Bearer '+process.env.VLLM_API_KEY))).listen(...process.argv.slice(1),()=>console.log('up'))`;

const world = await openDockerWorld();

function withDocker(title: string, body: (world: DockerWorld) => Promise<void>): void {
  test(title, { skip: world === null ? 'no Docker here' : false }, async () => {
    assert.ok(world !== null);
    await body(world);
  });
}

interface Contained {
  /** Of the gateway; root where absent. */
  readonly user?: string;
  readonly mode: 'launch' | 'leave' | 'adopt';
  /** Where the container has a volume for the gateway's state; null: its state is its own. */
  readonly volume: string | null;
  readonly config?: GatewayOptions['config'];
  readonly launchId: string;
}

/** Runs the fixture in a container of its own, and removes that. */
async function contained({ docker, daemon }: DockerWorld, options: Contained): Promise<ContainedReport> {
  const gateway: GatewayOptions = {
    host: 'unix:///var/run/docker.sock',
    stateId: `c-${options.launchId}`,
    directory: '/state/gateway',
    ...(options.config === undefined ? {} : { config: options.config }),
  };
  const spec: Partial<LaunchSpec> = {
    launchId: options.launchId,
    model: 'm',
    argv: ['node', '-e', ENGINE],
    environment: {},
    image: null,
    deviceSource: 'simulated',
    files: [],
    deviceIds: [],
    memoryMibPerDevice: 1,
    signature: 's',
  };
  const binds = [`${ROOT}:${ROOT}:ro`, `${daemon.socketPath}:/var/run/docker.sock`];
  const container = await docker.createContainer({
    Image: NODE_IMAGE,
    ...(options.user === undefined ? {} : { User: options.user }),
    Cmd: ['node', '--no-warnings', FIXTURE, JSON.stringify(gateway), options.mode, JSON.stringify(spec)],
    HostConfig: {
      Init: true,
      Binds: options.volume === null ? binds : [...binds, `${options.volume}:/state`],
    },
  });
  try {
    await container.start();
    await container.wait();
    const output = (await container.logs({ stdout: true, stderr: true })).toString('utf8');
    const report = /\{.*\}\n$/.exec(output)?.[0];
    assert.ok(report !== undefined, output);
    return JSON.parse(report) as ContainedReport;
  } finally {
    await container.remove({ force: true });
  }
}

withDocker(
  'in a container with a volume: by a socket in that volume, found again by the next one',
  async (w) => {
    const options = { volume: 'vgt-state', launchId: 'vol-1' } as const;
    const first = await contained(w, { ...options, mode: 'leave' });
    assert.deepEqual(first.listen, { kind: 'unix', socketPath: '/state/gateway/s/vol-1/e.sock' });
    assert.equal(first.answer, 'no key false');
    assert.ok(first.capabilities.isPrivate && first.capabilities.unixSockets);
    const next = await contained(w, { ...options, mode: 'adopt' });
    assert.deepEqual([next.listen, next.answer, next.stopped], [first.listen, 'no key false', 'gone']);
  },
);

withDocker('a gateway that is not root is let into the sockets of engines that are', async (w) => {
  chmodSync(w.daemon.socketPath, 0o666);
  const prepared = await w.docker.createContainer({
    Image: NODE_IMAGE,
    Cmd: ['chmod', '0777', '/state'],
    HostConfig: { Binds: ['vgt-user:/state'] },
  });
  await prepared.start();
  await prepared.wait();
  await prepared.remove();
  const options = { volume: 'vgt-user', launchId: 'user-1', user: '65534:65534' } as const;
  const report = await contained(w, { ...options, mode: 'launch' });
  assert.equal(report.listen.kind, 'unix');
  assert.equal(report.answer, 'no key false');
  assert.equal(report.stopped, 'gone');
});

withDocker('in a container without one: by a network that only it and the engine are in', async (w) => {
  const report = await contained(w, { mode: 'launch', volume: null, launchId: 'net-1' });
  assert.ok(report.listen.kind === 'tcp' && report.listen.isPrivate === true, JSON.stringify(report));
  assert.match(report.answer, /^Bearer .{40,} true$/);
  assert.ok(report.capabilities.isPrivate && !report.capabilities.unixSockets);
  assert.equal(report.stopped, 'gone');
  const left = (await w.docker.listNetworks()).filter(({ Name }) => Name.includes('net-1'));
  assert.deepEqual(left, []);
});

withDocker(
  'by a network: neither the host nor a sibling gets there; a new gateway joins again',
  async (w) => {
    const options = { volume: 'vgt-net', launchId: 'net-2', config: { reach: 'network' } } as const;
    const first = await contained(w, { ...options, mode: 'leave' });
    assert.ok(first.listen.kind === 'tcp');
    const { host, port } = first.listen;
    const attempt = `const s=require('net').connect(${port},'${host}');s.setTimeout(1500,()=>s.destroy());
    s.on('connect',()=>{console.log('reached');s.destroy()});s.on('error',()=>{});s.on('close',()=>console.log('closed'))`;
    const fromHost = await run(...w.daemon.inside([process.execPath, '-e', attempt]));
    assert.equal(fromHost.stdout, 'closed\n');
    const sibling = await w.docker.createContainer({ Image: NODE_IMAGE, Cmd: ['node', '-e', attempt] });
    await sibling.start();
    await sibling.wait();
    const output = (await sibling.logs({ stdout: true, stderr: true })).toString('utf8');
    await sibling.remove({ force: true });
    assert.ok(/closed/.test(output) && !/reached/.test(output), output);
    const next = await contained(w, { ...options, mode: 'adopt' });
    assert.match(next.answer, /^Bearer .{40,} true$/);
    assert.equal(next.stopped, 'gone');
  },
);

withDocker('by a port: on loopback, with a key, and not private', async (w) => {
  const options: GatewayOptions = {
    host: w.daemon.host,
    stateId: 'port',
    directory: temporaryDirectory(),
    config: { reach: 'port' },
  };
  const runtime = await openGateway(options);
  const { capabilities } = runtime;
  assert.ok(!capabilities.unixSockets && !capabilities.isPrivate);
  assert.match(capabilities.exposure, /`runtime.docker.reach` is `port`/);
  const spec = await specOf(runtime, { argv: ['node', '-e', ENGINE, '8000', '0.0.0.0'], environment: {} });
  assert.deepEqual(spec.listen, { kind: 'tcp', host: '0.0.0.0', port: 8000 });
  const heard = createRecordingObserver();
  const result = await runtime.launch(spec, heard);
  assert.ok(result.kind === 'launched', JSON.stringify(result));
  await heard.waitForLine(/up/);
  await runtime.close();

  const next = await openGateway(options);
  const [engine] = await next.adopt(() => createRecordingObserver());
  assert.deepEqual(engine?.handle, result.handle);
  assert.ok(engine?.handle.listen.kind === 'tcp' && engine.handle.listen.host === '127.0.0.1');
  const { authorization, listen } = engine.handle;
  const fetching = `fetch('http://127.0.0.1:${listen.port}/',{headers:{authorization:'${authorization}'}}).then(r=>r.text()).then(console.log)`;
  const { stdout } = await run(...w.daemon.inside([process.execPath, '-e', fetching]));
  assert.equal(stdout, `${authorization} true\n`);
  assert.equal((await next.stop(engine.handle, 5_000)).kind, 'gone');
  await next.close();
});
