/**
 * A world for the scheduler alone: engines, requests and timers as times on a virtual clock, invariants checked after
 * every event. It carries out effects as the executor would and keeps every event and effect for comparison.
 */

import type { Refusal } from '../../src/core/errors.ts';
import type { RequestId } from '../../src/core/ids.ts';
import { VirtualClock } from '../../src/core/virtual-clock.ts';
import { beginScheduling, decide } from '../../src/scheduler/decide.ts';
import type { Effect } from '../../src/scheduler/effects.ts';
import { reservationOf } from '../../src/scheduler/engine-state.ts';
import { type Estimate, estimate } from '../../src/scheduler/estimate.ts';
import type { EngineFailure, SchedulerEvent } from '../../src/scheduler/events.ts';
import { assertInvariants } from '../../src/scheduler/invariants.ts';
import type { ModelNeed } from '../../src/scheduler/model-need.ts';
import type { AdoptedStage, ModelPolicy, SchedulerSetup } from '../../src/scheduler/model-policy.ts';
import type { SchedulerState } from '../../src/scheduler/state.ts';
import type { SwapPolicy } from '../../src/scheduler/swap-policy.ts';

const PROBE_MS = 100;
/** More events than this at one instant are a spin. */
const EVENTS_AT_ONCE_MAX = 500;

export interface WorldTimes {
  startMs: number;
  stopMs: number;
  serviceMs: number;
  sleepMs: number;
  wakeMs: number;
  fetchMs: number;
}

export interface RequestRecord {
  readonly id: RequestId;
  readonly model: string;
  readonly arrivedMs: number;
  dispatchedMs: number | null;
  finishedMs: number | null;
  refusal: Refusal | null;
}

export function testNeed(changes: Partial<ModelNeed> = {}): ModelNeed {
  return {
    deviceCount: 1,
    memoryMibPerDevice: 10_000,
    leastMibPerDevice: 0,
    wholeShare: 1,
    contextMib: 0,
    sleepLevel: 0,
    residueMib: 500,
    hostAwakeMib: 4_000,
    hostAsleepMib: 15_000,
    neverFits: null,
    ...changes,
  };
}

/** Changes of the need may stand beside those of the policy. */
export function testPolicy(name: string, changes: Partial<ModelPolicy & ModelNeed> = {}): ModelPolicy {
  const needKeys = Object.keys(testNeed());
  const entries = Object.entries(changes);
  const ofNeed = Object.fromEntries(entries.filter(([key]) => needKeys.includes(key)));
  return {
    name,
    managed: true,
    pool: null,
    need: testNeed(ofNeed),
    alwaysOn: false,
    inactivityTimeoutMs: 0,
    minResidenceMs: 0,
    loadTimeoutMs: 600_000,
    fetchTimeoutMs: null,
    drainTimeoutMs: 120_000,
    onDrainTimeout: 'cut',
    queueTimeoutMs: 3_600_000,
    maxConcurrent: 8,
    queueSize: 200,
    stopGraceMs: 10_000,
    assumedStartMs: 2_000,
    sleepTimeoutMs: 60_000,
    wakeTimeoutMs: 60_000,
    signature: name,
    ...Object.fromEntries(entries.filter(([key]) => !needKeys.includes(key))),
  };
}

export function testSetup(
  models: readonly ModelPolicy[],
  budgetsMib: readonly number[] = [16_000],
): SchedulerSetup {
  return {
    models,
    devices: budgetsMib.map((budgetMib, index) => ({
      id: `gpu-${index}`,
      pool: null,
      totalMib: budgetMib,
      budgetMib,
      spareMib: 0,
      foreignMib: 0,
    })),
    scheduling: { switchShare: 0.2, lingerMaxMs: 15_000 },
    learned: {},
    hostBudgetMib: null,
    launchPrefix: 'run',
  };
}

export class SchedulerWorld {
  readonly clock = new VirtualClock();
  readonly state: SchedulerState;
  readonly events: { atMs: number; event: SchedulerEvent; effects: Effect[] }[] = [];
  readonly effects: Effect[] = [];
  readonly requests = new Map<RequestId, RequestRecord>();
  /** Called when a request has ended: closed-loop clients send their next one here. */
  onEnd: (record: RequestRecord) => void = () => {};
  /** Stops of these models cannot be verified, the first so many times. */
  readonly stuckStops = new Map<string, number>();
  /** Answers to probes; absent: the test answers them itself. */
  probeAnswer: (() => boolean) | null = null;
  /** Engines that never get ready, by model. */
  readonly hanging = new Set<string>();
  /** Called before and after each decision: what meters see, and where defects are put in on purpose. */
  beforeDecision: () => void = () => {};
  afterDecision: (effects: readonly Effect[]) => void = () => {};
  /** How long the next start of a model takes, and its next request; null: `times`. */
  startMsOf: ((model: string) => number) | null = null;
  serviceMsOf: ((model: string) => number) | null = null;
  /** Answers to `sleep` and `wake`; absent: both go well. */
  sleepAnswer: (kind: 'sleep' | 'wake', model: string) => 'ok' | 'failed' | 'no_room' | 'silent' = () => 'ok';
  /** Answers to `fetch`; absent: it goes well. */
  fetchAnswer: (model: string) => EngineFailure | null | 'silent' = () => null;
  /** Service times by model, instead of `times.serviceMs`. */
  readonly serviceMs = new Map<string, number>();
  readonly times: WorldTimes;
  readonly #fetches = new Map<string, () => void>();
  #timers = new Map<string, () => void>();
  #nextId = 1;
  #lastAtMs = -1;
  #atOnce = 0;

  constructor(setup: SchedulerSetup, times: Partial<WorldTimes> = {}, policy?: SwapPolicy) {
    this.times = {
      startMs: 2_000,
      stopMs: 500,
      serviceMs: 1_000,
      sleepMs: 200,
      wakeMs: 300,
      fetchMs: 5_000,
      ...times,
    };
    const { state, effects } = beginScheduling(setup, 0, policy);
    this.state = state;
    for (const effect of effects) this.#carryOut(effect);
    this.effects.push(...effects);
    assertInvariants(state);
  }

  send(event: SchedulerEvent): Effect[] {
    const atMs = this.clock.nowMs();
    this.#countAtOnce(atMs);
    this.beforeDecision();
    const effects = decide(this.state, event, atMs);
    assertInvariants(this.state);
    this.afterDecision(effects);
    this.events.push({ atMs, event, effects });
    this.effects.push(...effects);
    for (const effect of effects) this.#carryOut(effect);
    return effects;
  }

  #countAtOnce(atMs: number): void {
    this.#atOnce = atMs === this.#lastAtMs ? this.#atOnce + 1 : 0;
    this.#lastAtMs = atMs;
    if (this.#atOnce > EVENTS_AT_ONCE_MAX)
      throw new Error(`more than ${EVENTS_AT_ONCE_MAX} events at ${atMs} ms`);
  }

  request(model: string, patienceMs: number | null = null, light = false): RequestRecord {
    const id = this.#nextId;
    this.#nextId += 1;
    const record: RequestRecord = {
      id,
      model,
      arrivedMs: this.clock.nowMs(),
      dispatchedMs: null,
      finishedMs: null,
      refusal: null,
    };
    this.requests.set(id, record);
    this.send({
      kind: 'arrived',
      requestId: id,
      model,
      patienceMs,
      ...(light ? { light: true as const } : {}),
    });
    return record;
  }

  /** The executor goes on with what an earlier gateway began. */
  goOn(model: string, launchId: string, stage: AdoptedStage): void {
    const engine = this.state.models.get(model)?.engine;
    if (engine === undefined || reservationOf(engine)?.launchId !== launchId) return;
    const about = { model, launchId, reason: 'it was under way' };
    const rest = { deviceIds: [], memoryMibPerDevice: 0 };
    if (stage.kind === 'starting') this.#carryOut({ kind: 'start', ...about, ...rest });
    else if (stage.kind === 'falling_asleep') this.#carryOut({ kind: 'sleep', ...about, level: stage.level });
    else if (stage.kind === 'waking')
      this.#carryOut({ kind: 'wake', ...about, level: stage.level, memoryMibPerDevice: 0 });
  }

  /** The launch id that the model's engine has now. */
  launchId(model: string): string {
    const start = this.effects.findLast((effect) => effect.kind === 'start' && effect.model === model);
    if (start?.kind !== 'start') throw new Error(`${model} was never started`);
    return start.launchId;
  }

  /** The launch that the model has at present, or null. */
  launchIdOf(model: string): string | null {
    const engine = this.state.models.get(model)?.engine;
    return engine === undefined ? null : (reservationOf(engine)?.launchId ?? null);
  }

  count(kind: Effect['kind'], model?: string): number {
    return this.effects.filter(
      (effect) =>
        effect.kind === kind && (model === undefined || ('model' in effect && effect.model === model)),
    ).length;
  }

  estimate(model: string): Estimate {
    return estimate(this.state, model, this.clock.nowMs());
  }

  engineKind(model: string): string {
    return this.state.models.get(model)?.engine.kind ?? 'none';
  }

  #carryOut(effect: Effect): void {
    const nowMs = this.clock.nowMs();
    switch (effect.kind) {
      case 'start': {
        if (this.hanging.has(effect.model)) return;
        const { launchId, model } = effect;
        this.clock.setTimer(nowMs + (this.startMsOf?.(model) ?? this.times.startMs), () =>
          this.send({ kind: 'ready', launchId, model, contextLength: null }),
        );
        return;
      }
      case 'fetch':
        this.#fetch(effect.model);
        return;
      case 'cancel_fetch':
        this.#fetches.get(effect.model)?.();
        return;
      case 'stop': {
        const { launchId, model } = effect;
        const stuck = this.stuckStops.get(model) ?? 0;
        if (stuck > 0) this.stuckStops.set(model, stuck - 1);
        this.clock.setTimer(nowMs + this.times.stopMs, () =>
          this.send({ kind: 'stopped', launchId, model, verified: stuck === 0, detail: '' }),
        );
        return;
      }
      case 'sleep':
      case 'wake': {
        const { launchId, model, kind } = effect;
        const answer = this.sleepAnswer(kind, model);
        if (answer === 'silent') return;
        const takesMs = kind === 'sleep' ? this.times.sleepMs : this.times.wakeMs;
        const about = { launchId, model, ok: answer === 'ok', detail: '' };
        this.clock.setTimer(nowMs + takesMs, () =>
          this.send(
            answer === 'no_room' && kind === 'wake'
              ? { kind: 'no_room', asleep: true, launchId, model, freeMib: {} }
              : kind === 'sleep'
                ? { kind: 'slept', ...about, residueMib: null, hostMib: null }
                : { kind: 'woke', ...about },
          ),
        );
        return;
      }
      case 'dispatch': {
        this.#record(effect.requestId).dispatchedMs = nowMs;
        const serviceMs =
          this.serviceMsOf?.(effect.model) ?? this.serviceMs.get(effect.model) ?? this.times.serviceMs;
        this.clock.setTimer(nowMs + serviceMs, () => this.#finish(effect.requestId));
        return;
      }
      case 'refuse': {
        const record = this.#record(effect.requestId);
        record.refusal = effect.refusal;
        this.onEnd(record);
        return;
      }
      case 'cut':
        this.clock.setTimer(nowMs, () =>
          this.send({ kind: 'returned', requestId: effect.requestId, cause: 'cut', detail: '' }),
        );
        return;
      case 'set_timer':
        this.#timers.get(effect.key)?.();
        this.#timers.set(
          effect.key,
          this.clock.setTimer(effect.atMs, () => this.send({ kind: 'timer', key: effect.key })),
        );
        return;
      case 'probe':
        this.#probe(effect.launchId, effect.model);
        return;
      case 'release':
      case 'drain':
      case 'lone_death':
        return;
    }
  }

  #fetch(model: string): void {
    const answer = this.fetchAnswer(model);
    if (answer === 'silent') return;
    const cancel = this.clock.setTimer(this.clock.nowMs() + this.times.fetchMs, () =>
      this.send({ kind: 'fetched', model, failure: answer }),
    );
    this.#fetches.set(model, cancel);
  }

  #probe(launchId: string, model: string): void {
    if (this.probeAnswer === null) return;
    const healthy = this.probeAnswer();
    this.clock.setTimer(this.clock.nowMs() + PROBE_MS, () =>
      this.send({ kind: 'probed', launchId, model, healthy, detail: '' }),
    );
  }

  #finish(requestId: RequestId): void {
    const record = this.#record(requestId);
    if (!this.state.requests.get(requestId)?.running.has(requestId)) return;
    record.finishedMs = this.clock.nowMs();
    this.send({ kind: 'finished', requestId, broken: false });
    this.onEnd(record);
  }

  #record(id: RequestId): RequestRecord {
    const record = this.requests.get(id);
    if (record === undefined) throw new Error(`an effect names request ${id}, which nobody made`);
    return record;
  }
}
