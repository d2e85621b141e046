/** Keeps the learned costs in the state database as they change: soon after a change, those of one moment together. */
import type { CancelTimer, Clock } from '../core/clock.ts';
import type { LearnedCost, ModelPolicy } from '../scheduler/model-policy.ts';
import type { SchedulerState } from '../scheduler/state.ts';
import { type StoredCost, type StoredCosts, writeLearnedCosts } from '../store/learned-costs.ts';
import type { StateDatabase } from '../store/state-database.ts';

/** Changes within this time go to disk together. */
const WRITE_DELAY_MS = 2_000;

export class CostKeeper {
  readonly #clock: Clock;
  readonly #database: StateDatabase;
  #state: SchedulerState | null = null;
  #cancelWrite: CancelTimer | null = null;

  constructor(clock: Clock, database: StateDatabase) {
    this.#clock = clock;
    this.#database = database;
  }

  /** A move was measured. */
  changed(state: SchedulerState): void {
    this.#state = state;
    this.#cancelWrite ??= this.#clock.setTimer(this.#clock.nowMs() + WRITE_DELAY_MS, () => this.flush());
  }

  /** Writes what has changed, now. A failure is told by the database. */
  flush(): void {
    const state = this.#state;
    this.#cancelWrite?.();
    this.#cancelWrite = null;
    this.#state = null;
    if (state !== null) writeLearnedCosts(this.#database, storedCosts(state));
  }
}

/** What is stored for the launches that the configuration asks for now. */
export function learnedCosts(
  stored: StoredCosts,
  policies: readonly ModelPolicy[],
): Readonly<Record<string, LearnedCost>> {
  const known = policies.flatMap(({ name, signature }) => {
    const cost = stored[name];
    if (cost?.signature !== signature) return [];
    const { startMs, stopMs, sleepMs, wakeMs } = cost;
    return [[name, { startMs, stopMs, sleepMs, wakeMs }]];
  });
  return Object.fromEntries(known);
}

function storedCosts(state: SchedulerState): StoredCosts {
  const costs: Record<string, StoredCost> = {};
  for (const { policy, startMs, stopMs, sleepMs, wakeMs, removed } of state.models.values()) {
    if (removed || [startMs, stopMs, sleepMs, wakeMs].every((cost) => cost === null)) continue;
    costs[policy.name] = { signature: policy.signature, startMs, stopMs, sleepMs, wakeMs };
  }
  return costs;
}
