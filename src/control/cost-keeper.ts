/** Keeps the learned costs on disk as they change: soon after a change, never more than one write at a time. */
import type { CancelTimer, Clock } from '../core/clock.ts';
import type { LearnedCost, ModelPolicy } from '../scheduler/model-policy.ts';
import type { SchedulerState } from '../scheduler/state.ts';
import { type StoredCost, type StoredCosts, writeLearnedCosts } from '../store/learned-costs.ts';

/** Changes within this time go to disk together. */
const WRITE_DELAY_MS = 2_000;

export class CostKeeper {
  readonly #clock: Clock;
  readonly #file: string;
  readonly #onFault: (text: string) => void;
  #state: SchedulerState | null = null;
  #cancelWrite: CancelTimer | null = null;
  #writing: Promise<void> = Promise.resolve();

  /** `onFault` is told when a write fails; the gateway goes on. */
  constructor(clock: Clock, file: string, onFault: (text: string) => void) {
    this.#clock = clock;
    this.#file = file;
    this.#onFault = onFault;
  }

  /** A start or a stop was measured. */
  changed(state: SchedulerState): void {
    this.#state = state;
    this.#cancelWrite ??= this.#clock.setTimer(this.#clock.nowMs() + WRITE_DELAY_MS, () => void this.flush());
  }

  /** Writes what has changed, now. Never rejects. */
  flush(): Promise<void> {
    const state = this.#state;
    this.#cancelWrite?.();
    this.#cancelWrite = null;
    this.#state = null;
    if (state === null) return this.#writing;
    const costs = storedCosts(state);
    this.#writing = this.#writing.then(() =>
      writeLearnedCosts(this.#file, costs).catch((error: unknown) =>
        this.#onFault(`the learned costs could not be kept: ${String(error)}`),
      ),
    );
    return this.#writing;
  }
}

/** What is stored for the launches that the configuration asks for now. */
export function learnedCosts(
  stored: StoredCosts,
  policies: readonly ModelPolicy[],
): Readonly<Record<string, LearnedCost>> {
  const known = policies.flatMap(({ name, signature }) => {
    const cost = stored[name];
    return cost?.signature === signature ? [[name, { startMs: cost.startMs, stopMs: cost.stopMs }]] : [];
  });
  return Object.fromEntries(known);
}

function storedCosts(state: SchedulerState): StoredCosts {
  const costs: Record<string, StoredCost> = {};
  for (const { policy, startMs, stopMs, removed } of state.models.values()) {
    if (removed || (startMs === null && stopMs === null)) continue;
    costs[policy.name] = { signature: policy.signature, startMs, stopMs };
  }
  return costs;
}
