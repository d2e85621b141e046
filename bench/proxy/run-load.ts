/** Runs the load generator against a proxy, and reads what the proxy's process spent on it. */
import { cpuMicroseconds, end, startScript } from './processes.ts';
import { LOAD_PROCESSES, STREAM_CLIENTS, UNARY_CLIENTS } from './workload.ts';

export type LoadMode = 'unary' | 'stream';

export interface LoadTarget {
  readonly pid: number;
  readonly port: number;
  /** It writes streams anew, with events of its own. */
  readonly rewrites?: boolean;
}

export interface LoadOptions {
  /** All together; absent: those of the workload. */
  readonly clients?: number;
  /** Absent: as many as the workload has. */
  readonly processes?: number;
  /** By which requests are longer than usual. */
  readonly extraBytes?: number;
}

export interface LoadResult {
  /** CPU time of the proxy's process, all of its threads. */
  readonly cpuUs: number;
  /** Requests, or streamed chunks. */
  readonly done: number;
  readonly seconds: number;
}

/** `amount`: milliseconds of a closed loop, or streams per client one after the other. Rejects when any answer was wrong. */
export async function runLoad(
  target: LoadTarget,
  mode: LoadMode,
  amount: number,
  options: LoadOptions = {},
): Promise<LoadResult> {
  const processes = options.processes ?? LOAD_PROCESSES;
  const clients = (options.clients ?? (mode === 'unary' ? UNARY_CLIENTS : STREAM_CLIENTS)) / processes;
  const parameters = [target.port, mode, amount, clients, options.extraBytes ?? 0].map(String);
  if (target.rewrites === true) parameters.push('rewritten');
  const before = await cpuMicroseconds(target.pid);
  const runs = await Promise.all(
    Array.from({ length: processes }, async () => {
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
