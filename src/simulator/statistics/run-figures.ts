/** The figures of one run, named as the command prints them (docs/simulate.md). */

export interface WaitFigures {
  readonly mean: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

export interface RunFigures {
  readonly requests: number;
  readonly wait_s: WaitFigures;
  readonly not_ready_s: WaitFigures;
  readonly engine_full_s: WaitFigures;
  readonly slow: { readonly over_10_s: number; readonly over_60_s: number };
  readonly moves: {
    readonly start: number;
    readonly wake: number;
    readonly sleep: number;
    readonly stop: number;
  };
  readonly move_time_share: number;
  readonly drain_time_share: number;
  /** Worst model's mean wait over the median model's; null where that is 0. */
  readonly fairness: number | null;
  readonly worst_model: string | null;
  readonly worst_model_wait_s: number;
  readonly quarters_wait_s: readonly number[];
  readonly queue_bounded: boolean;
  readonly served: number;
  readonly left: number;
  readonly refused: number;
  readonly served_share: number;
  readonly served_within_10_s: number;
  readonly served_within_60_s: number;
  readonly simulated_hours: number;
  readonly decisions: number;
  /** Of this process, and so different in each run. */
  readonly decision_us: number;
  readonly violations: number;
  readonly violation_texts: readonly string[];
}
