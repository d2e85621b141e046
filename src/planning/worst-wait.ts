/**
 * The longest that a model may have to wait, by the theorem of scheduler/design.md:
 *     R + sum over the others j (c_j + q_j + d_j) + c_i      where all share one device
 *     (n + 1) max_j (c_j + q_j + d_j) + c_i                  where n others share several
 *  c_j  what bringing j up and taking it off again costs: its start and its stop, or its waking and its sleep (`asleepMs`)
 *  q_j  its quantum (turn.ts), or the refill of the balance by the move that brought it in, if that is longer
 *  d_j  its drain limit and the time in which the front ends what is cut
 *  R    the rest of the turn that runs, and its drain: at most the longest q_j + d_j
 * The costs are those that the scheduler reckons with: learned, or assumed until then.
 */
import type { ModelName } from '../core/ids.ts';
import type { SchedulingPolicy } from '../scheduler/model-policy.ts';
import type { ModelState, SchedulerState } from '../scheduler/state.ts';
import {
  CUT_GRACE_MS,
  canSleep,
  quantumMs,
  sleepCostMs,
  startCostMs,
  stopCostMs,
  switchCostMs,
  wakeCostMs,
} from '../scheduler/turn.ts';
import { alwaysHasRoom, type Contention, contentions } from './contention.ts';
import { keptOut } from './evictions.ts';
import type { PlannedSetup } from './fit-items.ts';
import type { PackedDevice } from './packing.ts';

export type WorstWait =
  | {
      readonly kind: 'bound';
      /**
       * `start`: it never waits for others, but for its own start. `room`: others can never keep it out, but they may be
       * starting where it is to start. `shared_device`, `order`: the two formulas.
       */
      readonly rule: 'start' | 'room' | 'shared_device' | 'order';
      readonly coldMs: number;
      /** The same while engines that can sleep do so; null: none of them can, or the host does not hold all of them. */
      readonly asleepMs: number | null;
      readonly others: readonly ModelName[];
    }
  | { readonly kind: 'none'; readonly why: string };

export interface WaitQuestion {
  readonly setup: PlannedSetup;
  readonly state: SchedulerState;
}

/** Of each model that takes a device. */
export function worstWaits(question: WaitQuestion): ReadonlyMap<ModelName, WorstWait> {
  const waits = new Map<ModelName, WorstWait>();
  const contention = contentions(question.state);
  for (const [name, model] of question.state.models) {
    if (!model.policy.managed) continue;
    const found = contention.get(name);
    const why = model.need === null ? 'what it needs is not known' : 'it never fits';
    waits.set(name, found === undefined ? { kind: 'none', why } : waitOf(question, model, found));
  }
  return waits;
}

function waitOf(question: WaitQuestion, model: ModelState, contention: Contention): WorstWait {
  const { state } = question;
  const { others, devices, sharesOneDevice } = contention;
  const names = others.map(({ policy }) => policy.name);
  const startMs = startCostMs(model);
  // It starts with the gateway and never gives way.
  if (model.policy.alwaysOn)
    return { kind: 'bound', rule: 'start', coldMs: startMs, asleepMs: null, others: [] };
  const alwaysOn = [...state.models.values()].filter(({ policy }) => policy.alwaysOn && policy.managed);
  if (alwaysHasRoom(model, devices, [...others, ...alwaysOn])) {
    // Moves on one device follow each other.
    const coldMs = others.reduce((sum, other) => sum + startCostMs(other), startMs);
    const rule = others.length === 0 ? 'start' : 'room';
    return { kind: 'bound', rule, coldMs, asleepMs: null, others: names };
  }
  const why = voidReason(question, model, others);
  if (why !== null) return { kind: 'none', why };
  // Turns are as long as what its returns have cost: that of models which always wake is counted by their wakings.
  const woken = (one: ModelState): ModelState => ({ ...one, wokenShare: 1 });
  return {
    kind: 'bound',
    rule: sharesOneDevice ? 'shared_device' : 'order',
    coldMs: boundMs(state, model, others, sharesOneDevice, COLD_COSTS),
    asleepMs: canAllSleep(state, [model, ...others], devices)
      ? boundMs(state, woken(model), others.map(woken), sharesOneDevice, ASLEEP_COSTS)
      : null,
    others: names,
  };
}

function voidReason(
  { setup }: WaitQuestion,
  { policy }: ModelState,
  others: readonly ModelState[],
): string | null {
  const endless = others.filter((other) => other.policy.onDrainTimeout === 'wait');
  if (endless.length > 0) {
    const names = endless.map((other) => other.policy.name).join(', ');
    return `${names} may keep devices until all requests there have ended (on_drain_timeout: wait)`;
  }
  const kept = keptOut(setup, policy.name);
  return kept === null ? null : `always-on models take the room: ${kept}`;
}

/** What a model's moves cost: bringing it up and taking it off. */
interface Costs {
  readonly comesMs: (model: ModelState) => number;
  readonly leavesMs: (model: ModelState) => number;
  readonly switchMs: (model: ModelState) => number;
}

/** Each comes from a cold start, and leaves in the slower of its ways. */
const COLD_COSTS: Costs = {
  comesMs: startCostMs,
  leavesMs: (model) => Math.max(stopCostMs(model), canSleep(model) ? sleepCostMs(model) : 0),
  switchMs: (model) => Math.max(switchCostMs(model), startCostMs(model) + stopCostMs(model)),
};

const ASLEEP_COSTS: Costs = {
  comesMs: (model) => (canSleep(model) ? wakeCostMs(model) : startCostMs(model)),
  leavesMs: (model) => (canSleep(model) ? sleepCostMs(model) : stopCostMs(model)),
  switchMs: switchCostMs,
};

function boundMs(
  state: SchedulerState,
  model: ModelState,
  others: readonly ModelState[],
  sharesOneDevice: boolean,
  { comesMs, leavesMs, switchMs }: Costs,
): number {
  const { scheduling } = state;
  const slowestLeaveMs = Math.max(...[model, ...others].map(leavesMs));
  const turnMs = (other: ModelState): number =>
    Math.max(quantumMs(other, scheduling), refillMs(slowestLeaveMs + comesMs(other), scheduling)) +
    other.policy.drainTimeoutMs +
    CUT_GRACE_MS;
  const shares = others.map((other) => switchMs(other) + turnMs(other));
  if (!sharesOneDevice) return (others.length + 1) * Math.max(0, ...shares) + switchMs(model);
  const restMs = Math.max(0, ...others.map(turnMs));
  return shares.reduce((sum, shareMs) => sum + shareMs, restMs) + switchMs(model);
}

/** Until the balance of a device that paid for such a move is back at 0 (scheduler/design.md, Swapping). */
function refillMs(moveMs: number, { switchShare }: SchedulingPolicy): number {
  return (moveMs * (1 - switchShare)) / switchShare;
}

/** Some can sleep, and host and devices hold all that do, whoever is awake. */
function canAllSleep(
  { hostBudgetMib }: SchedulerState,
  models: readonly ModelState[],
  devices: readonly PackedDevice[],
): boolean {
  const sleeping = models.filter(canSleep);
  if (hostBudgetMib === null || sleeping.length === 0) return false;
  const hostMib = models.map((model) => {
    const { hostAwakeMib = 0, hostAsleepMib = 0 } = model.need ?? {};
    return canSleep(model) ? Math.max(hostAwakeMib, hostAsleepMib) : hostAwakeMib;
  });
  const residueMib = sleeping.reduce((sum, { need }) => sum + (need?.residueMib ?? 0), 0);
  const leastMib = Math.min(...devices.map(({ budgetMib }) => budgetMib));
  const fitsAmong = ({ need }: ModelState): boolean =>
    (need?.memoryMibPerDevice ?? Number.POSITIVE_INFINITY) + residueMib - (need?.residueMib ?? 0) <= leastMib;
  return hostMib.reduce((sum, mib) => sum + mib, 0) <= hostBudgetMib && models.every(fitsAmong);
}
