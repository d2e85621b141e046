/** Whether the gateway's memory grows with the requests that it has answered: a million of them, or what a time limit allows. */
import { residentMib } from '../proxy/processes.ts';
import { runLoad } from '../proxy/run-load.ts';
import type { Contender } from './bench-run.ts';

const REQUESTS = 1_000_000;
const LIMIT_MS = 5 * 60_000;
const STEP_MS = 10_000;

export interface GrowthResult {
  readonly requests: number;
  /** After each step of about ten seconds. */
  readonly residentMib: readonly number[];
}

export async function measureGrowth(contender: Contender): Promise<GrowthResult> {
  const startedMs = performance.now();
  const resident: number[] = [];
  let requests = 0;
  while (requests < REQUESTS && performance.now() - startedMs < LIMIT_MS) {
    requests += (await runLoad(contender, 'unary', STEP_MS)).done;
    resident.push(await residentMib(contender.pid));
  }
  return { requests, residentMib: resident };
}
