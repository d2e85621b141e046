/** What one part of the benchmark works with, and the processes that it must end. */
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { end } from '../proxy/processes.ts';
import type { LoadTarget } from '../proxy/run-load.ts';
import { startEngines } from '../proxy/targets.ts';
import type { Peer } from './peer.ts';

export interface Contender extends LoadTarget {
  readonly peer: Peer;
}

/** Starts the engines and all peers in front of them, has `work` measure them, and ends everything. */
export async function withContenders<T>(
  peers: readonly Peer[],
  chunkIntervalMs: number | undefined,
  work: (contenders: readonly Contender[], enginePort: number) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'bench-peers-'));
  const children: ChildProcess[] = [];
  try {
    const enginePort = await startEngines(children, chunkIntervalMs);
    const contenders: Contender[] = [];
    for (const peer of peers) {
      const { child, port } = await peer.start(directory, enginePort);
      children.push(child);
      contenders.push({ peer, pid: child.pid ?? 0, port, rewrites: peer.rewrites });
    }
    return await work(contenders, enginePort);
  } finally {
    for (const child of children) await end(child);
    await rm(directory, { recursive: true, force: true });
  }
}

/** Of two figures, to two decimals. */
export function ratio(one: number, other: number): number {
  return Math.round((one / other) * 100) / 100;
}

/** The figure below which a share of the values lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
