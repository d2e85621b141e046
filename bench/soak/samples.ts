/** What the gateway's process takes while it works: memory and open files, from outside. */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { RunningGateway } from '../../test/fixtures/gateway.ts';
import { scrape } from '../../test/fixtures/metrics-page.ts';

const INTERVAL_MS = 2_000;
const MIB = 1024 * 1024;
/** Of the kernel's table of connections. */
const REMOTE_FIELD = 2;
const STATE_FIELD = 3;
const INODE_FIELD = 9;
const ESTABLISHED = '01';

export interface Sample {
  readonly seconds: number;
  readonly residentMib: number;
  readonly heapMib: number;
  readonly openFiles: number;
}

export interface OpenFiles {
  readonly total: number;
  readonly sockets: number;
  /** Files without a name: bodies that wait on the disk. */
  readonly unlinked: number;
  /** Outputs of engines, one for each that lives. */
  readonly outputs: number;
}

export class Sampler {
  readonly samples: Sample[] = [];
  readonly #gateway: RunningGateway;
  readonly #startedMs = performance.now();
  #isEnding = false;
  readonly #ended: Promise<void>;

  /** Begins at once. */
  constructor(gateway: RunningGateway) {
    this.#gateway = gateway;
    this.#ended = this.#look();
  }

  async end(): Promise<void> {
    this.#isEnding = true;
    await this.#ended;
  }

  async #look(): Promise<void> {
    while (!this.#isEnding) {
      const page = await scrape(this.#gateway.url);
      this.samples.push({
        seconds: (performance.now() - this.#startedMs) / 1_000,
        residentMib: await residentMib(this.#gateway.pid),
        heapMib: page.sum('vllm_gateway_nodejs_heap_size_used_bytes') / MIB,
        openFiles: (await openFiles(this.#gateway.pid)).total,
      });
      await pause(INTERVAL_MS);
    }
  }
}

async function residentMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1_024;
}

export async function openFiles(pid: number): Promise<OpenFiles> {
  const folder = `/proc/${pid}/fd`;
  const names = await readdir(folder);
  const targets = await Promise.all(names.map((name) => readlink(`${folder}/${name}`).catch(() => '')));
  return {
    total: targets.filter((target) => target !== '').length,
    sockets: targets.filter((target) => target.startsWith('socket:')).length,
    outputs: targets.filter((target) => target.includes('/state/output/')).length,
    unlinked: targets.filter((target) => target.startsWith('/') && target.endsWith(' (deleted)')).length,
  };
}

export interface Connections {
  /** Established ones at the port, whoever has them. */
  readonly all: number;
  /** Those of this process, which asks for metrics. */
  readonly own: number;
}

/** Connections to a port of this machine, from the kernel's table. */
export async function connectionsTo(port: number): Promise<Connections> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map((path) => readFile(path, 'utf8').catch(() => '')),
  );
  const names = await readdir('/proc/self/fd');
  const ours = await Promise.all(names.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => '')));
  const established = tables
    .flatMap((table) => table.split('\n').map((line) => line.trim().split(/\s+/)))
    .filter((fields) => fields[STATE_FIELD] === ESTABLISHED);
  return {
    all: established.filter(([, local = '']) => local.endsWith(suffix)).length,
    own: established.filter(
      (fields) => fields[REMOTE_FIELD]?.endsWith(suffix) && ours.includes(`socket:[${fields[INODE_FIELD]}]`),
    ).length,
  };
}
