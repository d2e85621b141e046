/**
 * A Docker daemon of our own: own files, own network namespace (its bridges and packet filters are nobody else's and
 * vanish with it), own mount namespace (so do its mounts).
 *
 *  D1. It leads no session, so that whoever kills our process group kills it; what survives of it all the same (the
 *      shims of its containers) is found by the path of its files and ended, by us or by the next lab (`sweepOldLabs`).
 *  D2. Nothing waits longer than its limit.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { programPath } from './components.ts';

/** Short and absolute, because sockets lie below it. */
const BASE = '/tmp';
const PREFIX = 'vgd-';
const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 20_000;
const KILL_LIMIT_MS = 5_000;
const POLL_MS = 50;

/** Without the part for Kubernetes, which wants networks of its own. */
const CONTAINERD_CONFIGURATION = 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n';

export interface DaemonOptions {
  readonly liveRestore: boolean;
}

export interface Daemon {
  readonly root: string;
  /** For DOCKER_HOST. */
  readonly host: string;
  readonly socketPath: string;
  /** A command line that runs another one where the daemon has its network: its loopback is Docker's host's. */
  inside(command: readonly string[]): readonly [string, readonly string[]];
  /** Ends the daemon alone: as `systemctl stop docker`, or by SIGKILL. */
  stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** Starts it again in the same namespaces. */
  start(): Promise<void>;
  /** As if the machine had lost its power: daemon, containers and all; `start` is the next boot. */
  cutPower(): Promise<void>;
  log(): string;
  /** Ends all of it and removes its files. */
  dispose(): Promise<void>;
}

/** Rejects with the daemon's own words where it does not come up. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  sweepOldLabs();
  const root = mkdtempSync(path.join(BASE, PREFIX));
  writeFileSync(path.join(root, 'owner'), String(process.pid));
  startJanitor(root);
  // Containers' users pass through it to what is mounted from below.
  chmodSync(root, 0o755);
  const daemon = new LabDaemon(root, options);
  try {
    await daemon.start();
  } catch (error) {
    await daemon.dispose();
    throw error;
  }
  return daemon;
}

class LabDaemon implements Daemon {
  readonly root: string;
  readonly socketPath: string;
  readonly host: string;
  readonly #options: DaemonOptions;
  /** Keeps the namespaces while the daemon itself is away. */
  readonly #holder: ChildProcess;
  #containerd: ChildProcess | null = null;
  #child: ChildProcess | null = null;

  constructor(root: string, options: DaemonOptions) {
    this.root = root;
    this.socketPath = path.join(root, 'docker.sock');
    this.host = `unix://${this.socketPath}`;
    this.#options = options;
    makeHook(path.join(root, 'bin'));
    // Its command line names the root, so that the next lab finds it.
    const script = `ip link set lo up; echo ready; exec tail -f ${path.join(root, 'owner')}`;
    this.#holder = spawn(programPath('unshare'), ['--net', '--mount', 'sh', '-c', script], {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: environmentOf(root),
    });
  }

  inside(command: readonly string[]): readonly [string, readonly string[]] {
    return [programPath('nsenter'), ['--target', String(this.#pid()), '--net', '--mount', ...command]];
  }

  #pid(): number {
    return this.#holder.pid ?? 0;
  }

  async start(): Promise<void> {
    await this.#holderReady();
    // A service of its own, as distributions run it: it does not notice when Docker restarts.
    if (this.#containerd === null || hasEnded(this.#containerd)) {
      writeFileSync(path.join(this.root, 'containerd.toml'), CONTAINERD_CONFIGURATION);
      this.#containerd = this.#spawnInside('containerd', this.#containerdArguments());
    }
    const child = this.#spawnInside('dockerd', this.#arguments());
    this.#child = child;
    const deadlineMs = performance.now() + START_LIMIT_MS;
    while (!(await answers(this.socketPath))) {
      if (child.exitCode !== null || performance.now() > deadlineMs) {
        throw new Error(`dockerd does not start:\n${this.log().split('\n').slice(-12).join('\n')}`);
      }
      await sleep(POLL_MS);
    }
  }

  #spawnInside(program: string, args: readonly string[]): ChildProcess {
    const log = openSync(path.join(this.root, 'log'), 'a');
    const [file, entering] = this.inside([program, ...args]);
    const child = spawn(file, entering, {
      stdio: ['ignore', log, log],
      env: environmentOf(this.root),
    });
    closeSync(log);
    return child;
  }

  #containerdArguments(): readonly string[] {
    const below = (name: string): string => path.join(this.root, name);
    return [
      ...['--config', below('containerd.toml'), '--root', below('containerd')],
      ...['--state', below('state'), '--address', this.#containerdSocket(), '--log-level', 'warn'],
    ];
  }

  #containerdSocket(): string {
    return path.join(this.root, 'containerd.sock');
  }

  async #holderReady(): Promise<void> {
    const { stdout } = this.#holder;
    if (stdout === null || stdout.readableEnded || stdout.destroyed) return;
    if (this.#child !== null) return;
    await new Promise<void>((resolve, reject) => {
      stdout.once('data', () => resolve());
      this.#holder.once('exit', () => reject(new Error('namespaces cannot be made here')));
    });
  }

  #arguments(): readonly string[] {
    const { root } = this;
    return [
      ...['--data-root', path.join(root, 'data'), '--exec-root', path.join(root, 'exec')],
      ...['--pidfile', path.join(root, 'pid'), '--host', this.host],
      ...['--containerd', this.#containerdSocket()],
      ...['--storage-driver', storageDriver(), '--shutdown-timeout', '2'],
      ...(this.#options.liveRestore ? ['--live-restore'] : []),
    ];
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child === null || hasEnded(child)) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    const limit = new AbortController();
    const late = sleep(STOP_LIMIT_MS, undefined, { signal: limit.signal }).then(
      () => child.kill('SIGKILL'),
      () => undefined,
    );
    await Promise.race([ended, late.then(() => ended)]);
    limit.abort();
  }

  log(): string {
    return readFileSync(path.join(this.root, 'log'), 'utf8');
  }

  async cutPower(): Promise<void> {
    await this.stop('SIGKILL');
    this.#containerd?.kill('SIGKILL');
    await endProcessesOf(this.root, this.#pid());
    // A boot finds no pid files and no state of what ran.
    for (const name of ['pid', 'exec', 'state']) {
      rmSync(path.join(this.root, name), { recursive: true, force: true });
    }
  }

  async dispose(): Promise<void> {
    await this.stop('SIGKILL');
    this.#containerd?.kill('SIGKILL');
    this.#holder.kill('SIGKILL');
    await endProcessesOf(this.root);
    removeRoot(this.root);
  }
}

/** Docker hands devices over by a hook of this name; ours only has to exist for the request to be taken. */
function makeHook(directory: string): void {
  mkdirSync(directory, { recursive: true });
  const hook = path.join(directory, 'nvidia-container-runtime-hook');
  writeFileSync(hook, '#!/bin/sh\nexit 0\n');
  chmodSync(hook, 0o755);
}

function environmentOf(root: string): NodeJS.ProcessEnv {
  const system = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  // Nobody's proxy: an image that is not there shall not be asked for elsewhere.
  return { PATH: `${path.join(root, 'bin')}:${system}`, HOME: root, TMPDIR: '/tmp' };
}

/** On an overlay (we are in a container ourselves) Docker cannot stack another one. */
function storageDriver(): string {
  const root = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, target = '']) => target === '/' || target === BASE)
    .at(-1);
  return root?.[2] === 'overlay' ? 'vfs' : 'overlay2';
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ socketPath, path: '/_ping', agent: false, timeout: 1_000 }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.once('error', () => resolve(false));
    asked.once('timeout', () => asked.destroy());
    asked.end();
  });
}

/** A process of its own session that outlives us: when our end of its pipe closes, we are gone, and it cleans up. */
function startJanitor(root: string): void {
  const janitor = spawn(process.execPath, [path.join(import.meta.dirname, 'main.ts'), 'sweep', root], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  janitor.unref();
  janitor.stdin.on('error', () => undefined);
  if ('unref' in janitor.stdin && typeof janitor.stdin.unref === 'function') janitor.stdin.unref();
}

/** Labs whose owner is gone: what of them still runs, and their files. */
export function sweepOldLabs(): void {
  for (const name of readdirSync(BASE).filter((entry) => entry.startsWith(PREFIX))) {
    const root = path.join(BASE, name);
    let owner = 0;
    try {
      owner = Number(readFileSync(path.join(root, 'owner'), 'utf8'));
    } catch {
      continue;
    }
    if (owner > 0 && isAlive(owner)) continue;
    for (const pid of processesOf(root)) kill(pid);
    removeRoot(root);
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function endProcessesOf(root: string, spared = 0): Promise<void> {
  const deadlineMs = performance.now() + KILL_LIMIT_MS;
  for (;;) {
    const living = processesOf(root).filter((pid) => pid !== spared);
    if (living.length === 0 || performance.now() > deadlineMs) return;
    for (const pid of living) kill(pid);
    await sleep(POLL_MS);
  }
}

/** The daemon, its containerd and their shims name the root in their command lines; containers are the shims' children. */
function processesOf(root: string): readonly number[] {
  const found = new Set<number>();
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!(pid > 1) || pid === process.pid) continue;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      const [state = '', parent = ''] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (state === 'Z') continue;
      parents.set(pid, Number(parent));
      const words = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
      if (words.some((word) => word.startsWith(`${root}/`))) found.add(pid);
    } catch {
      // It has ended.
    }
  }
  for (let isGrowing = true; isGrowing; ) {
    isGrowing = false;
    for (const [pid, parent] of parents) {
      if (found.has(parent) && !found.has(pid)) {
        found.add(pid);
        isGrowing = true;
      }
    }
  }
  return [...found];
}

function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

function removeRoot(root: string): void {
  try {
    rmSync(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  } catch {
    // Something is still mounted: the next lab tries again.
  }
}
