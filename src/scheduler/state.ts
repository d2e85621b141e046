/** The state that `decide` owns. Nobody else writes it; readers may look, but a read that gates a change belongs inside. */
import { assert } from '../core/assert.ts';
import { IdMap } from '../core/id-map.ts';
import type { DeviceId, LaunchId, ModelName } from '../core/ids.ts';
import { createDemand, type Demand } from './demand.ts';
import type { DeviceBoard } from './device-board.ts';
import type { Effect } from './effects.ts';
import { EngineIndex } from './engine-index.ts';
import { COLD, type EngineState } from './engine-state.ts';
import type { ModelNeed } from './model-need.ts';
import type {
  DeviceBudget,
  LearnedCost,
  ModelPolicy,
  SchedulerSetup,
  SchedulingPolicy,
} from './model-policy.ts';
import type { MoveBudget } from './move-budget.ts';
import { RecentTimes } from './recent-times.ts';
import type { KeptEstimate } from './refusal-estimate.ts';
import { createStartHistory, createStartTimes, type StartHistory } from './start-history.ts';
import type { SwapPolicy } from './swap-policy.ts';
import { type QueuedRequest, WaitingQueue } from './waiting-queue.ts';

/** Enough for a tail that follows within some dozen requests when clients change. */
const SERVICES_REMEMBERED = 32;

/** Of one burst. */
const GAPS_REMEMBERED = 8;

export interface RunningRequest extends QueuedRequest {
  readonly dispatchedMs: number;
}

export interface ModelState {
  policy: ModelPolicy;
  /** Null: it is being found out, and nothing is started. */
  need: ModelNeed | null;
  /** Changed by `setEngine` alone. */
  readonly engine: EngineState;
  /** Its place among all models; grows. */
  order: number;
  readonly queue: WaitingQueue;
  readonly running: IdMap<RunningRequest>;
  readonly demand: Demand;
  /** Ready in time by an operator's word, without a request. */
  wanted: boolean;
  /** Taken out of the configuration: drained, then forgotten. */
  removed: boolean;
  /** Longest context as its engine last told; null until then. */
  contextLength: number | null;
  /** Measured costs; null until the first. */
  startMs: number | null;
  stopMs: number | null;
  sleepMs: number | null;
  wakeMs: number | null;
  /** Sleeps and wakings that went wrong; beyond a limit it is stopped instead. */
  sleepFaults: number;
  /** Learned share of its returns that were wakings; the others were starts, whatever it may do. */
  wokenShare: number;
  /** What there is to fetch has been, as far as this gateway knows. */
  fetched: boolean;
  /** Fetches in a row that failed. */
  failedFetches: number;
  /** Its engine was adopted before it was known what it takes: `sized` mends what was noted of it. */
  adoptedUnsized: boolean;
  /** Starts in a row that failed and were mended. */
  mends: number;
  /** When its last request ended; null: it never had one. */
  lastServedMs: number | null;
  /** Learned gap between an answer and the next request of its clients; null until the first. */
  gapMs: number | null;
  /** No devices could be set aside for it at the last review. */
  blocked: boolean;
  /** Since when it waits for devices (rank.ts); null while it does not contend. */
  contendsSinceMs: number | null;
  /** Times of its engine's deaths within the window. */
  deathsMs: number[];
  /** Why no device can ever hold it; null: some can. Kept up to date with policy and devices. */
  neverFits: string | null;
  /** Learned time of one request at its engine; null until the first. */
  serviceMs: number | null;
  readonly serviceTimes: RecentTimes;
  /** Of its last refusal. */
  keptEstimate: KeptEstimate | null;
  /** Between its last requests' arrivals, for estimates. */
  readonly arrivalGaps: RecentTimes;
  lastArrivedMs: number | null;
  /** Its last starts, for estimates. */
  readonly startTimes: RecentTimes;
  /** While it contends: when to look again at what stands in its way; Infinity: an event will tell. */
  reviewAtMs: number;
  /** While its device is over its budget: when it may be asked to leave it; Infinity: not at all, or now. */
  yieldReviewMs: number;
  /** Time for which a timer is armed; Infinity: none. */
  armedMs: number;
  /** In the present decision's list of touched models. */
  isTouched: boolean;
}

/** Devices set aside for one model until it starts there: nobody else takes what becomes free on them. */
export interface Plan {
  readonly model: ModelName;
  readonly deviceIds: readonly DeviceId[];
  readonly sinceMs: number;
  /** When the room is expected. Engines there serve on until shortly before (ask.ts). */
  readonly startsMs: number;
  /** Somebody was asked to leave for it: it keeps its place in the order until it has its devices. */
  readonly hasBegun: boolean;
}

export interface Shortage {
  /** In use beyond what engines of ours hold. */
  readonly takenMib: number;
  readonly untilMs: number;
}

export interface SchedulerState {
  readonly policy: SwapPolicy;
  /** In the order of their coming (`addModel`). */
  readonly models: Map<ModelName, ModelState>;
  modelCount: number;
  readonly engines: EngineIndex;
  readonly devices: Map<DeviceId, DeviceBudget>;
  /** False until the devices were read once: till then no model is refused for want of them. */
  devicesKnown: boolean;
  scheduling: SchedulingPolicy;
  readonly requests: IdMap<ModelState>;
  /** Whose engine each launch is, from its start or adoption until nothing of it is left. */
  readonly launches: Map<LaunchId, ModelState>;
  readonly plans: Map<ModelName, Plan>;
  /** Models that want devices and have none, in the order in which they began to. */
  readonly contenders: Set<ModelState>;
  /** Of them, those at whom a review looks even when no device is left to give: the others were passed over (rebalance.ts). */
  readonly restless: Set<ModelState>;
  /** Devices whose budget shrank below what was reserved there: no start, and idle engines give way. */
  readonly overBudget: Set<DeviceId>;
  /** What moves between busy models may cost each device; absent: nothing was spent there yet. */
  readonly moveBudgets: Map<DeviceId, MoveBudget>;
  readonly startHistory: StartHistory;
  /** Devices that had less room than was reckoned, until when, and what of them is taken. */
  readonly shortages: Map<DeviceId, Shortage>;
  /** Host memory that our engines may use in all; null: not known, and nothing falls asleep. */
  hostBudgetMib: number | null;
  /** Of the decision under way. */
  readonly touched: TouchedModels;
  readonly launchPrefix: string;
  launchCount: number;
  closing: 'no' | 'drain' | 'stop';
  leaveEngines: boolean;
}

/** A set of models as a list: most decisions touch one or none, and each request makes two decisions. */
export class TouchedModels {
  readonly list: ModelState[] = [];

  add(model: ModelState): void {
    if (model.isTouched) return;
    model.isTouched = true;
    this.list.push(model);
  }

  /** Ends the decision. */
  clear(): void {
    for (const model of this.list) model.isTouched = false;
    this.list.length = 0;
  }
}

/** One call of `decide`: what it may touch and what it has decided so far. */
export interface Decision {
  readonly state: SchedulerState;
  readonly nowMs: number;
  readonly effects: Effect[];
  /** Models whose deadlines may have changed. */
  readonly touched: TouchedModels;
  /** Something changed that lets a waiting model get on, or a plan end. */
  review: boolean;
  /** What its reviews have found out of the devices; null: there was none yet. */
  board: DeviceBoard | null;
}

export function createModelState(policy: ModelPolicy, learned: LearnedCost | undefined): ModelState {
  return {
    policy,
    need: policy.need,
    engine: policy.managed ? COLD : { kind: 'external' },
    order: 0,
    queue: new WaitingQueue(),
    running: new IdMap(),
    demand: createDemand(),
    wanted: false,
    removed: false,
    contextLength: null,
    startMs: learned?.startMs ?? null,
    stopMs: learned?.stopMs ?? null,
    sleepMs: learned?.sleepMs ?? null,
    wakeMs: learned?.wakeMs ?? null,
    sleepFaults: 0,
    wokenShare: 0,
    fetched: false,
    failedFetches: 0,
    adoptedUnsized: false,
    mends: 0,
    lastServedMs: null,
    gapMs: null,
    blocked: false,
    contendsSinceMs: null,
    deathsMs: [],
    neverFits: null,
    serviceMs: null,
    serviceTimes: new RecentTimes(SERVICES_REMEMBERED),
    keptEstimate: null,
    arrivalGaps: new RecentTimes(GAPS_REMEMBERED),
    lastArrivedMs: null,
    startTimes: createStartTimes(learned?.startMs ?? null),
    reviewAtMs: Number.POSITIVE_INFINITY,
    yieldReviewMs: Number.POSITIVE_INFINITY,
    armedMs: Number.POSITIVE_INFINITY,
    isTouched: false,
  };
}

export function createSchedulerState(setup: SchedulerSetup, policy: SwapPolicy): SchedulerState {
  const state: SchedulerState = {
    policy,
    models: new Map(),
    modelCount: 0,
    engines: new EngineIndex(),
    devices: new Map((setup.devices ?? []).map((device) => [device.id, device])),
    devicesKnown: setup.devices !== null,
    scheduling: setup.scheduling,
    requests: new IdMap(),
    plans: new Map(),
    contenders: new Set(),
    restless: new Set(),
    launches: new Map(),
    overBudget: new Set(),
    moveBudgets: new Map(),
    startHistory: createStartHistory(),
    shortages: new Map(),
    hostBudgetMib: setup.hostBudgetMib,
    touched: new TouchedModels(),
    launchPrefix: setup.launchPrefix,
    launchCount: 0,
    closing: 'no',
    leaveEngines: false,
  };
  for (const each of setup.models) {
    assert(!state.models.has(each.name), `model ${each.name} is configured twice`);
    addModel(state, createModelState(each, setup.learned[each.name]));
  }
  return state;
}

/** Puts a model, new or under a new name, behind all others. */
export function addModel(state: SchedulerState, model: ModelState): void {
  state.engines.update(model, false);
  state.modelCount += 1;
  model.order = state.modelCount;
  state.models.set(model.policy.name, model);
  state.engines.update(model);
}

/** Nothing waits and nothing runs. */
export function isIdle(model: ModelState): boolean {
  return model.running.size === 0 && model.queue.size === 0;
}

/** Requests wait for it, or an operator does. */
export function isWaitedFor(model: ModelState): boolean {
  return model.queue.size > 0 || model.wanted;
}
