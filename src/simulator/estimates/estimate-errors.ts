/**
 * How far estimates are from what comes true: at each arrival at a model that is not ready, what was expected then and how
 * long it was until the request went to its engine. Told apart by how the engine was brought up, and by whether others
 * stood in the way when it was asked.
 */
import type { RequestId } from '../../core/ids.ts';
import type { Effect } from '../../scheduler/effects.ts';
import type { SchedulerEvent } from '../../scheduler/events.ts';
import { explain } from '../../scheduler/explanation.ts';
import type { SchedulerState } from '../../scheduler/state.ts';
import type { SimulationObserver } from '../simulation-observer.ts';
import { LogHistogram } from '../statistics/log-histogram.ts';

/** Shorter waits are taken for this long: beside them any miss would be without measure. */
const LEAST_WAIT_MS = 1;
/** Steps that a model takes by itself. */
const OWN_STEPS: ReadonlySet<string> = new Set(['start', 'wake', 'fetch', 'pause']);
const MEDIAN = 0.5;

export interface ErrorFigures {
  readonly count: number;
  /** Of these nobody could tell. */
  readonly unknown: number;
  /** |expected - waited| / waited; null without any. */
  readonly median: number | null;
  /** Median of (expected - waited) / waited: below 0, more was waited than expected. */
  readonly bias: number | null;
}

export interface BroughtUpErrors extends ErrorFigures {
  readonly contended: ErrorFigures;
  readonly uncontended: ErrorFigures;
}

interface Pending {
  readonly expectedMs: number | null;
  readonly isContended: boolean;
}

class Errors {
  readonly #misses = new LogHistogram();
  readonly #ratios = new LogHistogram();
  #unknown = 0;

  add(expectedMs: number | null, waitedMs: number): void {
    if (expectedMs === null) {
      this.#unknown += 1;
      return;
    }
    const waited = Math.max(LEAST_WAIT_MS, waitedMs);
    this.#misses.add(Math.abs(expectedMs - waited) / waited);
    this.#ratios.add(expectedMs / waited);
  }

  get figures(): ErrorFigures {
    const { count } = this.#misses;
    return {
      count: count + this.#unknown,
      unknown: this.#unknown,
      median: count === 0 ? null : this.#misses.percentile(MEDIAN),
      bias: count === 0 ? null : this.#ratios.percentile(MEDIAN) - 1,
    };
  }
}

class SplitErrors {
  readonly #all = new Errors();
  readonly #contended = new Errors();
  readonly #uncontended = new Errors();

  add({ expectedMs, isContended }: Pending, waitedMs: number): void {
    this.#all.add(expectedMs, waitedMs);
    (isContended ? this.#contended : this.#uncontended).add(expectedMs, waitedMs);
  }

  get figures(): BroughtUpErrors {
    return {
      ...this.#all.figures,
      contended: this.#contended.figures,
      uncontended: this.#uncontended.figures,
    };
  }
}

export class EstimateErrors implements SimulationObserver {
  /** Requests that wait, so no more than there are. */
  readonly #pending = new Map<RequestId, Pending>();
  readonly #wakes = new SplitErrors();
  readonly #starts = new SplitErrors();
  readonly #all: EstimateErrors | null;

  /** `all`: of several runs together. */
  constructor(all: EstimateErrors | null = null) {
    this.#all = all;
  }

  decided(event: SchedulerEvent, effects: readonly Effect[], state: SchedulerState, nowMs: number): void {
    for (const effect of effects) {
      if (effect.kind !== 'dispatch') continue;
      const pending = this.#pending.get(effect.requestId);
      if (pending === undefined) continue;
      this.#pending.delete(effect.requestId);
      // `hot`: a drain was taken back, and nothing had to be brought up.
      if (effect.load !== 'hot') this.#add(effect.load, pending, effect.waitedMs);
    }
    if (event.kind === 'left') this.#pending.delete(event.requestId);
    if (event.kind === 'arrived') this.#arrived(event.requestId, event.model, state, nowMs);
  }

  #add(load: 'wake' | 'cold', pending: Pending, waitedMs: number): void {
    (load === 'wake' ? this.#wakes : this.#starts).add(pending, waitedMs);
    if (this.#all !== null) this.#all.#add(load, pending, waitedMs);
  }

  /** With what its arrival has changed already: as a client is told that waits. */
  #arrived(requestId: RequestId, name: string, state: SchedulerState, nowMs: number): void {
    const model = state.requests.get(requestId);
    const kind = model?.engine.kind;
    if (kind === undefined || kind === 'awake' || kind === 'external') return;
    const explanation = explain(state, name, nowMs);
    if (explanation === null) return;
    const { readyInMs, steps } = explanation;
    const isContended = steps.some((step) => !OWN_STEPS.has(step.kind));
    this.#pending.set(requestId, { expectedMs: readyInMs, isContended });
  }

  /** By how the engine was brought up in the end. */
  get figures(): { readonly wake: BroughtUpErrors; readonly start: BroughtUpErrors } {
    return { wake: this.#wakes.figures, start: this.#starts.figures };
  }
}
