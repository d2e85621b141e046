/** Small worlds and request lists, and an observer that keeps all it sees. */
import { createScheduler } from '../scheduler/scheduler.ts';
import type { RequestEnd, RequestSource, SimulatedRequest } from './request-source.ts';
import { runSimulation } from './run-simulation.ts';
import type { SimulationEnd, SimulationOptions } from './simulation.ts';
import type { MachineMove, SimulationObserver } from './simulation-observer.ts';
import type { ModelCosts, World } from './world.ts';

/** Starts in 10 s, stops in 2 s, sleeps in 1 s, wakes in 1.5 s, and takes 10,000 MiB of one device. */
export function testCosts(changes: Partial<ModelCosts> = {}): ModelCosts {
  return {
    weightsMib: 8_000,
    kvMib: 1_500,
    overheadMib: 500,
    gpus: 1,
    coldStart: { minMs: 10_000, medianMs: 10_000, p90Ms: 10_000 },
    sleepMs: 1_000,
    wakeMs: 1_500,
    stopMs: 2_000,
    prefillTokensPerS: 1_000,
    decodeTokensPerS: 100,
    maxConcurrent: 4,
    ...changes,
  };
}

/** One device that holds one model of `testCosts`, and no sleep. */
export function testWorld(changes: Partial<World> = {}): World {
  return {
    name: 'test',
    devices: [{ id: 'gpu-0', memoryMib: 12_000, budgetFraction: 0.9 }],
    hostMemoryMib: 100_000,
    sleep: false,
    palette: [testCosts()],
    ...changes,
  };
}

/** A request of 1,000 prompt and 100 output tokens: with `testCosts` its first byte comes after 1 s, its end after 2 s. */
export function testRequest(atMs: number, model: string, outputTokens = 100): SimulatedRequest {
  return { atMs, model, promptTokens: 1_000, outputTokens };
}

function listSource(requests: readonly SimulatedRequest[]): RequestSource {
  return {
    models: [...new Set(requests.map(({ model }) => model))],
    open: () => {
      let next = 0;
      return {
        next: () => {
          next += 1;
          return requests[next - 1] ?? null;
        },
        close: () => {},
      };
    },
  };
}

export interface SeenRequest {
  readonly id: number;
  readonly model: string;
  readonly arrivedMs: number;
  readonly waitMs: number | null;
  readonly end: RequestEnd;
  readonly endMs: number;
}

export class SeenSimulation implements SimulationObserver {
  readonly moves: MachineMove[] = [];
  readonly violations: string[] = [];
  /** In the order of their ends. */
  readonly requests: SeenRequest[] = [];
  arrivedCount = 0;
  dispatchedCount = 0;

  arrived(): void {
    this.arrivedCount += 1;
  }

  dispatched(): void {
    this.dispatchedCount += 1;
  }

  ended(
    times: Parameters<NonNullable<SimulationObserver['ended']>>[0],
    end: RequestEnd,
    endMs: number,
  ): void {
    const { id, request, arrivedMs, dispatchedMs } = times;
    const waitMs = dispatchedMs === null ? null : dispatchedMs - arrivedMs;
    this.requests.push({ id, model: request.model, arrivedMs, waitMs, end, endMs });
  }

  moved(move: MachineMove): void {
    this.moves.push(move);
  }

  violated(text: string): void {
    this.violations.push(text);
  }

  /** Waits in milliseconds, in the order of arrival. */
  get waitsMs(): (number | null)[] {
    return this.requests.toSorted((a, b) => a.id - b.id).map(({ waitMs }) => waitMs);
  }

  /** Kind, model, from and to of each move. */
  get moveTimes(): [string, string, number, number][] {
    return this.moves.map(({ kind, model, fromMs, toMs }) => [kind, model, fromMs, toMs]);
  }
}

export async function simulate(
  requests: readonly SimulatedRequest[],
  options: Partial<SimulationOptions> = {},
): Promise<SeenSimulation & { readonly end: SimulationEnd }> {
  const seen = new SeenSimulation();
  const end = await runSimulation({
    world: testWorld(),
    source: listSource(requests),
    scheduler: createScheduler(),
    seed: 1,
    timeScale: 1,
    patienceMs: null,
    ...options,
    observers: [seen, ...(options.observers ?? [])],
  });
  return Object.assign(seen, { end });
}
