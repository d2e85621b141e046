/**
 * `explain(model)`: what a request that arrives now waits for, step by step, as data. Retry-After, progress, status and
 * the command `explain` all show it, so that everybody is told the same. `waiting-sentence.ts` puts it into words.
 * 1. Steps follow one after the other: their times add up to `readyInMs`, unless nobody can tell how long one takes.
 * 2. All times are from the moment of asking on; who shows them knows what time that is.
 */
import { assertNever } from '../core/assert.ts';
import type { DeviceId, ModelName } from '../core/ids.ts';
import { type ContestForecast, forecastContest, type TurnAhead } from './contest-forecast.ts';
import { contestSteps } from './contest-steps.ts';
import type { FetchingState } from './engine-state.ts';
import { sleepsWith } from './forecast-place.ts';
import { hindranceOf } from './hindrance.ts';
import { expectedStartMs, startRestMs, wakeRestMs } from './move-times.ts';
import { ownLeavingSteps, pauseSteps, slotSteps, startBasis, step, wakeBasis } from './own-steps.ts';
import { isWaitedFor, type ModelState, type SchedulerState } from './state.ts';
import { wakeCostMs } from './turn.ts';

export type StepKind =
  /** After a failure, or because its devices lacked room. */
  | 'pause'
  | 'fetch'
  /** Its own engine is on its way out: its last requests, then the move. */
  | 'own_drain'
  | 'own_leaving'
  /** Others that rank before it take these devices first. */
  | 'ahead'
  /** Engines that are in its way: idle ones, those in their turn, those that drain, those that leave, sleepers. */
  | 'idle'
  | 'turn'
  | 'drain'
  | 'leaving'
  | 'sleeper'
  /** A neighbour moves. */
  | 'move'
  | 'start'
  | 'wake'
  | 'slots'
  | 'probe'
  /** Something that nobody can tell the end of (`hindrance`). */
  | 'hindrance';

export interface Step {
  readonly kind: StepKind;
  /** Whom it concerns; its own name in its own moves. */
  readonly models: readonly ModelName[];
  readonly deviceIds: readonly DeviceId[];
  /** What it adds to the wait; null: nobody can tell. */
  readonly expectedMs: number | null;
  /** When it is over at the latest, counted from now; null: there is no limit. */
  readonly atLatestMs: number | null;
  readonly basis: 'measured' | 'assumed';
  /** More about it, in words; empty: nothing. */
  readonly detail: string;
}

/** Assumption of the waiting bound (design.md) that does not hold. */
export type Hindrance =
  | 'nothing_fits'
  | 'devices_unknown'
  | 'size_unknown'
  | 'drain_without_limit'
  | 'always_on'
  | 'stop_unverified'
  | 'foreign_memory'
  | 'start_failed'
  | 'lost_connection';

export interface Explanation {
  readonly model: ModelName;
  readonly state: string;
  readonly phase: string;
  /** Share of the present phase that is done, 0..100; null: the engine does not tell. */
  readonly percent: number | null;
  readonly waiting: number;
  /** How long its oldest request has waited; null: none waits. */
  readonly waitedMs: number | null;
  /** Milliseconds until a request that arrives now would be dispatched; null: nobody can say. */
  readonly readyInMs: number | null;
  /** `measured`: from costs seen on this machine. `assumed`: defaults or guesses about others' turns take part. */
  readonly basis: 'measured' | 'assumed';
  readonly steps: readonly Step[];
  /** Models that wait too and rank before it, in their order, and how many there are in all. */
  readonly ahead: readonly TurnAhead[];
  readonly aheadCount: number;
  /** Why nobody can say more, or why the bound on its wait does not hold; null: it holds. */
  readonly hindrance: Hindrance | null;
}

/** Null: there is no such model. */
export function explain(state: SchedulerState, name: ModelName, nowMs: number): Explanation | null {
  const model = state.models.get(name);
  return model === undefined ? null : explanationOf(state, model, nowMs, null);
}

/** Of all models, for hardly more than one costs. */
export function explainAll(state: SchedulerState, nowMs: number): ReadonlyMap<ModelName, Explanation> {
  const contest = forecastContest(state, [...state.models.values()].filter(needsDevices), nowMs);
  return new Map(
    [...state.models].map(([name, model]) => [name, explanationOf(state, model, nowMs, contest)]),
  );
}

interface Account {
  readonly phase: string;
  readonly percent?: number | null;
  readonly steps: readonly Step[];
  readonly contest?: ContestForecast;
  readonly hindrance?: Hindrance | null;
}

function explanationOf(
  state: SchedulerState,
  model: ModelState,
  nowMs: number,
  contests: ReadonlyMap<ModelState, ContestForecast> | null,
): Explanation {
  const contestOf = (): ContestForecast | undefined =>
    (contests ?? forecastContest(state, [model], nowMs)).get(model);
  const account = accountOf(state, model, nowMs, contestOf);
  const { steps, contest } = account;
  const isKnown = steps.every(({ expectedMs }) => expectedMs !== null);
  const [oldest] = model.queue;
  return {
    model: model.policy.name,
    state: model.engine.kind,
    phase: account.phase,
    percent: account.percent ?? null,
    waiting: model.queue.size,
    waitedMs: oldest === undefined ? null : nowMs - oldest.arrivedMs,
    readyInMs: isKnown ? steps.reduce((sum, { expectedMs }) => sum + (expectedMs ?? 0), 0) : null,
    basis: steps.every(({ basis }) => basis === 'measured') ? 'measured' : 'assumed',
    steps,
    ahead: contest?.ahead ?? [],
    aheadCount: contest?.aheadCount ?? 0,
    hindrance: account.hindrance ?? null,
  };
}

/** It has no devices, or gives its own away. */
function needsDevices({ engine }: ModelState): boolean {
  const { kind } = engine;
  return kind !== 'external' && kind !== 'awake' && kind !== 'starting' && kind !== 'waking';
}

function accountOf(
  state: SchedulerState,
  model: ModelState,
  nowMs: number,
  contestOf: () => ContestForecast | undefined,
): Account {
  const { engine } = model;
  const { name } = model.policy;
  switch (engine.kind) {
    case 'external':
      return { phase: 'awake', steps: slotSteps(model) };
    case 'awake':
      return engine.suspect
        ? { phase: 'probing', steps: [step('probe', [name], null)], hindrance: 'lost_connection' }
        : { phase: 'awake', steps: slotSteps(model) };
    case 'starting': {
      const elapsedMs = nowMs - engine.sinceMs;
      const start = {
        ...step('start', [name], startRestMs(state, model, elapsedMs), engine.reservation.deviceIds),
        ...{ atLatestMs: engine.deadlineMs - nowMs, basis: startBasis(model), detail: engine.phase },
      };
      return { phase: engine.phase, percent: engine.percent, steps: [start] };
    }
    case 'waking': {
      const restMs = wakeRestMs(model, nowMs - engine.sinceMs);
      const wake = {
        ...step('wake', [name], restMs, engine.reservation.deviceIds),
        ...{ atLatestMs: engine.deadlineMs - nowMs, basis: wakeBasis(model) },
      };
      return { phase: 'waking', steps: [wake] };
    }
    case 'fetching':
      return fetchAccount(state, model, engine, nowMs);
    case 'falling_asleep':
    case 'stopping':
    case 'draining':
    case 'asleep':
    case 'failed':
    case 'cold':
      return placedAccount(state, model, nowMs, contestOf());
    default:
      return assertNever(engine, 'engine state');
  }
}

function fetchAccount(
  state: SchedulerState,
  model: ModelState,
  engine: FetchingState,
  nowMs: number,
): Account {
  const { bytesDone, bytesTotal } = engine;
  const { name } = model.policy;
  const percent = bytesTotal === null || bytesTotal === 0 ? null : Math.floor((100 * bytesDone) / bytesTotal);
  const fetching = {
    ...step('fetch', [name], fetchRestMs(engine, nowMs - engine.sinceMs)),
    atLatestMs: engine.deadlineMs - nowMs,
  };
  const start = { ...step('start', [name], expectedStartMs(state, model)), basis: startBasis(model) };
  return { phase: 'fetching', percent, steps: [fetching, start] };
}

/** At the speed so far, of which files that were there already are a part: a guess from below. Null: nothing is known yet. */
function fetchRestMs({ bytesDone, bytesTotal }: FetchingState, elapsedMs: number): number | null {
  if (bytesTotal === null || bytesDone === 0) return null;
  return (elapsedMs * (bytesTotal - bytesDone)) / bytesDone;
}

/** It has no engine, one that sleeps, or one that goes. */
function placedAccount(
  state: SchedulerState,
  model: ModelState,
  nowMs: number,
  contest: ContestForecast | undefined,
): Account {
  const { engine } = model;
  const { name } = model.policy;
  const own = [...pauseSteps(model, nowMs), ...ownLeavingSteps(state, model, nowMs)];
  const ownMs = own.reduce((sum, { expectedMs }) => sum + (expectedMs ?? 0), 0);
  const phase = phaseOf(state, model, contest);
  const wakes = sleepsWith(state, model) !== null;
  const bringUp = wakes
    ? { ...step('wake', [name], wakeCostMs(model)), basis: wakeBasis(model) }
    : { ...step('start', [name], expectedStartMs(state, model)), basis: startBasis(model) };
  const hindrance = hindranceOf(state, model, contest, nowMs);
  if (hindrance !== null) {
    const { models, deviceIds, detail } = hindrance;
    const blocked = { ...step('hindrance', models, null, deviceIds), detail };
    return {
      phase,
      steps: [...own, blocked, bringUp],
      ...(contest && { contest }),
      hindrance: hindrance.kind,
    };
  }
  const others = contest === undefined ? [] : contestSteps(state, model, contest, ownMs);
  const isFailed = engine.kind === 'failed' || (engine.kind === 'cold' && engine.failure !== null);
  return {
    phase,
    steps: [...own, ...others, { ...bringUp, deviceIds: contest?.deviceIds ?? [] }],
    ...(contest && { contest }),
    hindrance: isFailed ? 'start_failed' : null,
  };
}

/** Nobody waits for a model that nobody has asked for. */
function phaseOf(state: SchedulerState, model: ModelState, contest: ContestForecast | undefined): string {
  const { kind } = model.engine;
  if (kind !== 'cold' && kind !== 'asleep') return kind === 'falling_asleep' ? 'falling asleep' : kind;
  const isFree = contest !== undefined && contest.roomInMs === 0;
  const isAwaited = isWaitedFor(model) || state.contenders.has(model);
  return isAwaited && !isFree ? 'waiting' : kind;
}
