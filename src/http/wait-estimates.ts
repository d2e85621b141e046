/**
 * When models will serve, for requests that wait. Asked for each of thousands, worked out once a second for each model:
 * a forecast costs more than a frame.
 */
import type { WaitEstimate } from '../control/gate.ts';
import type { Clock } from '../core/clock.ts';
import type { ModelName } from '../core/ids.ts';

/** How long an estimate is told again. */
const KEPT_MS = 1_000;

export interface TimedEstimate {
  readonly phase: string;
  /** On the clock's scale; null: nobody can tell. */
  readonly readyAtMs: number | null;
  readonly basis: WaitEstimate['basis'];
  readonly why: string;
}

export class WaitEstimates {
  readonly #clock: Clock;
  readonly #estimate: (model: ModelName) => WaitEstimate;
  /** At most one for each model of the configuration. */
  readonly #kept = new Map<ModelName, { readonly madeMs: number; readonly estimate: TimedEstimate }>();

  constructor(clock: Clock, estimate: (model: ModelName) => WaitEstimate) {
    this.#clock = clock;
    this.#estimate = estimate;
  }

  of(model: ModelName): TimedEstimate {
    const nowMs = this.#clock.nowMs();
    const kept = this.#kept.get(model);
    if (kept !== undefined && nowMs - kept.madeMs < KEPT_MS) return kept.estimate;
    const { phase, readyInMs, basis, why } = this.#estimate(model);
    const readyAtMs = readyInMs === null ? null : nowMs + readyInMs;
    const estimate: TimedEstimate = { phase, readyAtMs, basis, why };
    this.#kept.set(model, { madeMs: nowMs, estimate });
    return estimate;
  }
}
