/**
 * The scheduler: one event in, effects out. It owns `state`, never waits and knows no clock but the time it is given, so
 * that the same setup and events give the same effects, in production, in simulation and from a record.
 */
import { assertNever } from '../core/assert.ts';
import { engineAdopted } from './adoption.ts';
import { armTimers, deadlinePassed } from './deadlines.ts';
import { refreshFeasibility } from './device-view.ts';
import type { Effect } from './effects.ts';
import type { SchedulerEvent } from './events.ts';
import { fetchAnswered, fetchProgressed } from './fetching.ts';
import {
  becameMute,
  becameReady,
  engineExited,
  ofLaunch,
  phaseReported,
  probeAnswered,
  stopAnswered,
} from './lifecycle.ts';
import { roomMissing, useMeasured } from './memory-reports.ts';
import type { SchedulerSetup } from './model-policy.ts';
import {
  commanded,
  configurationChanged,
  devicesChanged,
  forgetRemoved,
  shutdown,
  sized,
} from './reconfigure.ts';
import { arrived, finished, left, returned, wish } from './requests.ts';
import { settleDrains } from './settling.ts';
import { sleepAnswered, wakeAnswered } from './sleeping.ts';
import { createSchedulerState, type Decision, type SchedulerState } from './state.ts';
import type { SwapPolicy } from './swap-policy.ts';
import { TURNS } from './turns-policy.ts';

/** A review may free devices for another one (an idle engine stops, a plan ends); it settles within this many rounds. */
const REVIEW_ROUNDS_MAX = 8;

/** A scheduler at rest, and the effects that bring up what is always on. */
export function beginScheduling(
  setup: SchedulerSetup,
  nowMs: number,
  policy: SwapPolicy = TURNS,
): { state: SchedulerState; effects: Effect[] } {
  const state = createSchedulerState(setup, policy);
  refreshFeasibility(state);
  const d = beginDecision(state, nowMs);
  for (const model of state.models.values()) wish(d, model);
  return { state, effects: endDecision(d) };
}

/** Throws `AssertionFailure` for an event that cannot happen (a defect of the caller); otherwise always answers. */
export function decide(state: SchedulerState, event: SchedulerEvent, nowMs: number): Effect[] {
  const d = beginDecision(state, nowMs);
  apply(d, event);
  return endDecision(d);
}

function beginDecision(state: SchedulerState, nowMs: number): Decision {
  return { state, nowMs, effects: [], touched: state.touched, review: false, board: null };
}

function endDecision(d: Decision): Effect[] {
  for (let round = 0; d.review && round < REVIEW_ROUNDS_MAX; round += 1) {
    d.review = false;
    settleDrains(d);
    d.state.policy.rebalance(d);
  }
  if (d.touched.list.length > 0) {
    forgetRemoved(d);
    armTimers(d);
    d.touched.clear();
  }
  return d.effects;
}

function apply(d: Decision, event: SchedulerEvent): void {
  switch (event.kind) {
    case 'arrived': {
      const model = d.state.models.get(event.model);
      if (model === undefined) {
        const refusal = { code: 'model_not_found', parameters: { model: event.model, hint: '' } } as const;
        d.effects.push({
          kind: 'refuse',
          requestId: event.requestId,
          refusal,
          reason: 'there is no such model',
        });
        return;
      }
      arrived(d, event.requestId, model, event.patienceMs, event.light === true);
      return;
    }
    case 'left':
      left(d, event.requestId);
      return;
    case 'finished':
      finished(d, event.requestId, event.broken);
      return;
    case 'returned':
      returned(d, event.requestId, event.cause, event.detail);
      return;
    case 'timer': {
      const model = d.state.models.get(event.key);
      if (model !== undefined) deadlinePassed(d, model);
      return;
    }
    case 'adopted':
      engineAdopted(d, event.launch, event.contextLength);
      return;
    case 'devices_changed':
      devicesChanged(d, event.devices);
      return;
    case 'configuration_changed':
      configurationChanged(d, event);
      return;
    case 'operator_command':
      commanded(d, event.command);
      return;
    case 'shutdown':
      shutdown(d, event.step, event.leaveEngines);
      return;
    case 'sized':
      sized(d, event.model, event.need);
      return;
    case 'host_memory':
      d.state.hostBudgetMib = event.budgetMib;
      d.review = true;
      return;
    case 'fetching':
      fetchProgressed(d, event);
      return;
    case 'fetched':
      fetchAnswered(d, event.model, event.failure);
      return;
    case 'phase':
    case 'ready':
    case 'exited':
    case 'no_room':
    case 'slept':
    case 'woke':
    case 'measured':
    case 'stopped':
    case 'probed':
    case 'mute':
      applyReport(d, event);
      return;
    default:
      assertNever(event, 'scheduler event');
  }
}

type Report = Extract<
  SchedulerEvent,
  {
    kind:
      | 'phase'
      | 'ready'
      | 'exited'
      | 'no_room'
      | 'slept'
      | 'woke'
      | 'measured'
      | 'stopped'
      | 'probed'
      | 'mute';
  }
>;

function applyReport(d: Decision, event: Report): void {
  const model = ofLaunch(d, event.launchId);
  if (model === null) return;
  switch (event.kind) {
    case 'phase':
      phaseReported(model, event.phase, event.percent);
      return;
    case 'ready':
      becameReady(d, model, event.contextLength);
      return;
    case 'exited':
      engineExited(d, model, event.failure, event.mended ?? null);
      return;
    case 'no_room':
      roomMissing(d, model, event.freeMib);
      return;
    case 'slept':
      sleepAnswered(d, model, event);
      return;
    case 'woke':
      wakeAnswered(d, model, event.ok, event.detail);
      return;
    case 'measured':
      useMeasured(d, model, event.memoryMibPerDevice);
      return;
    case 'stopped':
      stopAnswered(d, model, event.verified);
      return;
    case 'mute':
      becameMute(d, model);
      return;
    case 'probed':
      probeAnswered(d, model, event.healthy, event.detail);
      return;
    default:
      assertNever(event, 'engine report');
  }
}
