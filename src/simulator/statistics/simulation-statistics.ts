/** Watches a simulation and counts. Its memory grows with the models and with the requests open at one time, not with the run. */
import type { Effect } from '../../scheduler/effects.ts';
import type { SchedulerEvent } from '../../scheduler/events.ts';
import type { SchedulerState } from '../../scheduler/state.ts';
import type { RequestEnd } from '../request-source.ts';
import type { SimulationEnd } from '../simulation.ts';
import type { MachineMove, MoveKind, RequestTimes, SimulationObserver } from '../simulation-observer.ts';
import { LogHistogram } from './log-histogram.ts';
import { ModelWatch } from './model-watch.ts';
import { QuarterMeans } from './quarter-means.ts';
import type { RunFigures, WaitFigures } from './run-figures.ts';

const MS_PER_S = 1000;
const MS_PER_H = 3_600_000;
const SLOW_MS = 10_000;
const VERY_SLOW_MS = 60_000;
const VIOLATION_TEXTS_MAX = 20;
/** A queue is bounded when the last quarter of the requests waits at most so many times as long as the first. */
const BOUNDED_GROWTH = 2;

interface OpenRequest {
  readonly model: ModelWatch;
  readonly name: string;
  /** Number among all requests, in the order of arrival. */
  readonly index: number;
  /** `ModelWatch.fullMs` at its arrival. */
  readonly fullAtArrivalMs: number;
}

export class SimulationStatistics implements SimulationObserver {
  readonly #deviceCount: number;
  readonly #models = new Map<string, ModelWatch>();
  readonly #open = new Map<number, OpenRequest>();
  readonly #waits = new LogHistogram();
  readonly #notReady = new LogHistogram();
  readonly #engineFull = new LogHistogram();
  readonly #quarters = new QuarterMeans();
  readonly #moves: Record<MoveKind, number> = { start: 0, wake: 0, sleep: 0, stop: 0 };
  readonly #ends: Record<RequestEnd, number> = { answered: 0, refused: 0, left: 0 };
  readonly #violationTexts: string[] = [];
  #requests = 0;
  #slow = 0;
  #verySlow = 0;
  #dispatchedSoon = 0;
  #dispatchedInTime = 0;
  #moveDeviceMs = 0;
  #violations = 0;

  constructor(deviceCount: number) {
    this.#deviceCount = deviceCount;
  }

  decided(event: SchedulerEvent, effects: readonly Effect[], state: SchedulerState, nowMs: number): void {
    if ('requestId' in event) this.#look(this.#open.get(event.requestId)?.name, state, nowMs);
    else if ('model' in event) this.#look(event.model, state, nowMs);
    else if (event.kind === 'timer') this.#look(event.key, state, nowMs);
    for (const effect of effects) if ('model' in effect) this.#look(effect.model, state, nowMs);
  }

  arrived({ id, request, arrivedMs }: RequestTimes): void {
    const model = this.#watch(request.model);
    const fullAtArrivalMs = model.fullMs(arrivedMs);
    this.#open.set(id, { model, name: request.model, index: this.#requests, fullAtArrivalMs });
    this.#requests += 1;
  }

  dispatched(times: RequestTimes, nowMs: number): void {
    const waitMs = nowMs - times.arrivedMs;
    if (waitMs <= SLOW_MS) this.#dispatchedSoon += 1;
    if (waitMs <= VERY_SLOW_MS) this.#dispatchedInTime += 1;
    this.#waited(times, nowMs);
  }

  ended(times: RequestTimes, end: RequestEnd, nowMs: number): void {
    if (times.dispatchedMs === null && end === 'left') this.#waited(times, nowMs);
    this.#ends[end] += 1;
    this.#open.delete(times.id);
  }

  moved({ kind, model, deviceIds, fromMs, toMs }: MachineMove): void {
    this.#moves[kind] += 1;
    if (kind === 'start') this.#watch(model).starts += 1;
    this.#moveDeviceMs += (toMs - fromMs) * deviceIds.length;
  }

  violated(text: string, nowMs: number): void {
    this.#violations += 1;
    if (this.#violationTexts.length < VIOLATION_TEXTS_MAX)
      this.#violationTexts.push(`at ${(nowMs / MS_PER_S).toFixed(3)} s: ${text}`);
  }

  /** How often each model was started. */
  get starts(): ReadonlyMap<string, number> {
    return new Map([...this.#models].map(([name, { starts }]) => [name, starts]));
  }

  figures({ endMs, decisions, decisionNs }: SimulationEnd): RunFigures {
    const deviceMs = Math.max(1, endMs * this.#deviceCount);
    const quarters = this.#quarters.means(this.#requests);
    const drainMs = [...this.#models.values()].reduce((sum, model) => sum + model.drainDeviceMs(endMs), 0);
    const ofRequests = (count: number) => rounded(count / Math.max(1, this.#requests));
    const ofWaits = (count: number) => rounded(count / Math.max(1, this.#waits.count));
    return {
      requests: this.#requests,
      wait_s: waitFigures(this.#waits),
      not_ready_s: waitFigures(this.#notReady),
      engine_full_s: waitFigures(this.#engineFull),
      slow: { over_10_s: ofWaits(this.#slow), over_60_s: ofWaits(this.#verySlow) },
      moves: { ...this.#moves },
      move_time_share: rounded(this.#moveDeviceMs / deviceMs),
      drain_time_share: rounded(drainMs / deviceMs),
      ...this.#fairness(),
      quarters_wait_s: quarters.map(seconds),
      queue_bounded: (quarters.at(-1) ?? 0) <= BOUNDED_GROWTH * (quarters[0] ?? 0),
      served: this.#ends.answered,
      left: this.#ends.left,
      refused: this.#ends.refused,
      served_share: ofRequests(this.#ends.answered),
      served_within_10_s: ofRequests(this.#dispatchedSoon),
      served_within_60_s: ofRequests(this.#dispatchedInTime),
      simulated_hours: rounded(endMs / MS_PER_H),
      decisions,
      decision_us: rounded(decisionNs / Math.max(1, decisions) / 1000),
      violations: this.#violations,
      violation_texts: this.#violationTexts,
    };
  }

  #waited({ id, arrivedMs }: RequestTimes, nowMs: number): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    const waitMs = nowMs - arrivedMs;
    const fullMs = Math.min(waitMs, open.model.fullMs(nowMs) - open.fullAtArrivalMs);
    this.#waits.add(waitMs);
    this.#engineFull.add(fullMs);
    this.#notReady.add(waitMs - fullMs);
    this.#quarters.add(open.index, waitMs);
    open.model.waited(waitMs);
    if (waitMs > SLOW_MS) this.#slow += 1;
    if (waitMs > VERY_SLOW_MS) this.#verySlow += 1;
  }

  #fairness(): Pick<RunFigures, 'fairness' | 'worst_model' | 'worst_model_wait_s'> {
    const means = [...this.#models]
      .filter(([, { waits }]) => waits > 0)
      .map(([name, { waits, waitedMs }]) => ({ name, meanMs: waitedMs / waits }))
      .sort((a, b) => a.meanMs - b.meanMs);
    const worst = means.at(-1);
    const lower = means[Math.ceil(means.length / 2) - 1]?.meanMs ?? 0;
    const upper = means[Math.floor(means.length / 2)]?.meanMs ?? 0;
    const medianMs = (lower + upper) / 2;
    return {
      fairness: worst === undefined || medianMs === 0 ? null : rounded(worst.meanMs / medianMs),
      worst_model: worst?.name ?? null,
      worst_model_wait_s: seconds(worst?.meanMs ?? 0),
    };
  }

  #look(name: string | undefined, state: SchedulerState, nowMs: number): void {
    if (name === undefined) return;
    const model = state.models.get(name);
    if (model !== undefined) this.#watch(name).look(model, nowMs);
  }

  #watch(name: string): ModelWatch {
    let model = this.#models.get(name);
    if (model === undefined) {
      model = new ModelWatch();
      this.#models.set(name, model);
    }
    return model;
  }
}

function waitFigures(waits: LogHistogram): WaitFigures {
  return {
    mean: seconds(waits.mean),
    p50: seconds(waits.percentile(0.5)),
    p95: seconds(waits.percentile(0.95)),
    p99: seconds(waits.percentile(0.99)),
    max: seconds(waits.max),
  };
}

function seconds(ms: number): number {
  return Math.round(ms) / MS_PER_S;
}

/** Four figures, so that JSON stays readable. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
