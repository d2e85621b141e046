/** Runs the load generator against a proxy, and reads what the proxy's process spent on it. */
import { cpuMicroseconds, end, startScript } from './processes.ts';
import { LOAD_PROCESSES, STREAM_CLIENTS, UNARY_CLIENTS } from './workload.ts';

export type LoadMode = 'unary' | 'stream';

export interface LoadTarget {
  readonly pid: number;
  readonly port: number;
}

export interface LoadResult {
  /** CPU time of the proxy's process, all of its threads. */
  readonly cpuUs: number;
  /** Requests, or streamed chunks. */
  readonly done: number;
  readonly seconds: number;
}

/** `amount`: milliseconds of a closed loop, or streams per client one after the other. Rejects when any answer was wrong. */
export async function runLoad(target: LoadTarget, mode: LoadMode, amount: number): Promise<LoadResult> {
  const clients = (mode === 'unary' ? UNARY_CLIENTS : STREAM_CLIENTS) / LOAD_PROCESSES;
  const before = await cpuMicroseconds(target.pid);
  const runs = await Promise.all(
    Array.from({ length: LOAD_PROCESSES }, async () => {
      const parameters = [String(target.port), mode, String(amount), String(clients)];
      const { child, line } = await startScript('load.ts', parameters);
      await end(child);
      return JSON.parse(line) as { readonly done: number; readonly seconds: number };
    }),
  );
  const cpuUs = (await cpuMicroseconds(target.pid)) - before;
  const done = runs.reduce((sum, run) => sum + run.done, 0);
  return { cpuUs, done, seconds: Math.max(...runs.map((run) => run.seconds)) };
}

/** To one decimal. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((one, other) => one - other);
  return Math.round((sorted[Math.floor(sorted.length / 2)] ?? Number.NaN) * 10) / 10;
}
