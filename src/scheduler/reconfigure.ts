/** Changes from outside the flow of requests: configuration, devices, an operator's word, the end. */
import { assertNever } from '../core/assert.ts';
import type { ModelName } from '../core/ids.ts';
import { adoptedSized } from './adoption.ts';
import { refreshFeasibility, refreshFeasibilityOf } from './device-view.ts';
import { setEngine } from './engine-index.ts';
import { COLD, isDelicate, reservationOf } from './engine-state.ts';
import type { OperatorCommand, SchedulerEvent } from './events.ts';
import { cancelFetch, dropUselessFetches } from './fetching.ts';
import type { ModelNeed } from './model-need.ts';
import type { DeviceBudget } from './model-policy.ts';
import { settleBudgets } from './move-budget.ts';
import { beginDrain, noteOverBudget, stopEngine } from './moves.ts';
import { modelRemoved, SHUTTING_DOWN } from './refusals.ts';
import { leaveIfUnneeded, pump, refuseQueue, wish } from './requests.ts';
import { addModel, createModelState, type Decision, type ModelState } from './state.ts';
import { dismiss, withdraw } from './withdrawal.ts';

export function configurationChanged(
  d: Decision,
  event: Extract<SchedulerEvent, { kind: 'configuration_changed' }>,
): void {
  const { state } = d;
  settleBudgets(state, d.nowMs);
  state.scheduling = event.scheduling;
  const wanted = new Map(event.models.map((policy) => [policy.name, policy]));
  for (const [name, model] of [...state.models]) {
    if (model.removed) continue;
    const policy = wanted.get(name);
    if (policy === undefined || policy.managed !== model.policy.managed) remove(d, model);
    else adjust(d, model, policy);
  }
  for (const policy of event.models) {
    const present = state.models.get(policy.name);
    if (present !== undefined && !present.removed) continue;
    if (present !== undefined) setAside(d, present);
    addModel(state, createModelState(policy, undefined));
  }
  devicesChanged(d, event.devices);
}

function adjust(d: Decision, model: ModelState, policy: ModelState['policy']): void {
  const stale = policy.signature !== model.policy.signature;
  model.policy = policy;
  // What was found out about the same launch still holds.
  if (stale || policy.need !== null) model.need = policy.need;
  d.touched.add(model);
  if (d.state.contenders.has(model)) d.state.restless.add(model);
  if (policy.fetchTimeoutMs === null) cancelFetch(d, model, 'it is not to be fetched any more');
  pump(d, model);
  leaveIfUnneeded(d, model);
  if (!stale) return;
  forgetFailures(d, model);
  model.fetched = false;
  // Measured with another launch.
  model.startMs = null;
  model.startTimes.clear();
  model.stopMs = null;
  model.sleepMs = null;
  model.wakeMs = null;
  model.sleepFaults = 0;
  retire(d, model, 'its configuration changed');
}

/** The next request starts it at once, whatever happened before. */
function forgetFailures(d: Decision, model: ModelState): void {
  model.deathsMs = [];
  if (model.engine.kind === 'failed' || model.engine.kind === 'cold') setEngine(d.state, model, COLD);
  if (model.engine.kind === 'stopping') model.engine.next = COLD;
}

/** A name that comes back while what it named before still leaves: the old one goes on under another name. */
function setAside(d: Decision, model: ModelState): void {
  const { name } = model.policy;
  const launchId = reservationOf(model.engine)?.launchId ?? `earlier ${d.state.modelCount}`;
  d.state.models.delete(name);
  model.policy = { ...model.policy, name: `${name} (${launchId})` };
  addModel(d.state, model);
  // Its timer is armed under the old name.
  model.armedMs = Number.POSITIVE_INFINITY;
  d.touched.add(model);
}

function remove(d: Decision, model: ModelState): void {
  model.removed = true;
  d.touched.add(model);
  withdraw(d, model);
  refuseQueue(d, model, modelRemoved(model), 'the model was taken out of the configuration');
  retire(d, model, 'it was taken out of the configuration');
}

/** Ends the present engine, letting what runs finish. */
function retire(d: Decision, model: ModelState, reason: string): void {
  const engine = model.engine;
  if (engine.kind === 'fetching') cancelFetch(d, model, reason);
  else if (engine.kind === 'starting') stopEngine(d, model, reason);
  else if (engine.kind === 'awake') beginDrain(d, model, null, reason);
  else if (engine.kind === 'draining')
    setEngine(d.state, model, { ...engine, beneficiary: null, reason, how: 'stop' });
  else if (engine.kind === 'asleep') dismiss(d, model, engine, reason);
  else if (engine.kind === 'falling_asleep' || engine.kind === 'waking')
    setEngine(d.state, model, { ...engine, retiring: reason });
  // One that falls asleep or wakes is looked at when it has: in between nobody can say what it holds.
}

export function devicesChanged(d: Decision, devices: readonly DeviceBudget[]): void {
  const { state } = d;
  state.devicesKnown = true;
  state.devices.clear();
  for (const device of devices) state.devices.set(device.id, device);
  for (const plan of state.plans.values()) {
    if (!plan.deviceIds.every((id) => state.devices.has(id))) state.plans.delete(plan.model);
  }
  noteOverBudget(d, state.devices.keys());
  refreshFeasibility(state);
  dropUselessFetches(d);
  for (const model of state.models.values()) wish(d, model);
  d.review = true;
}

/** What the model takes is known, or known better; a launch that runs is as it is. */
export function sized(d: Decision, name: ModelName, need: ModelNeed): void {
  const model = d.state.models.get(name);
  if (model === undefined || model.removed) return;
  model.need = need;
  adoptedSized(d, model, need);
  refreshFeasibilityOf(d.state, model);
  dropUselessFetches(d);
  wish(d, model);
  d.touched.add(model);
  d.review = true;
}

/** Models that were taken out are forgotten when nothing of them is left. */
export function forgetRemoved(d: Decision): void {
  for (const model of d.touched.list) {
    if (!model.removed || model.running.size > 0) continue;
    const { kind } = model.engine;
    if (kind === 'cold' || kind === 'failed' || kind === 'external') d.state.models.delete(model.policy.name);
  }
}

export function commanded(d: Decision, command: OperatorCommand): void {
  const model = d.state.models.get(command.model);
  if (model === undefined || !model.policy.managed) return;
  switch (command.kind) {
    case 'load':
      if (
        model.engine.kind === 'awake' ||
        (isDelicate(model.engine) && model.engine.kind !== 'falling_asleep')
      )
        return;
      model.wanted = true;
      wish(d, model);
      return;
    case 'unload':
      model.wanted = false;
      if (model.queue.size === 0 && !model.policy.alwaysOn) withdraw(d, model);
      retire(d, model, 'an operator unloads it');
      return;
    case 'reset':
      forgetFailures(d, model);
      wish(d, model);
      d.touched.add(model);
      return;
    default:
      assertNever(command, 'operator command');
  }
}

/**
 * `drain`: what an awake engine can serve is served, everything else is refused. `stop`: running requests are cut, and
 * engines are stopped, or left to the next gateway.
 */
export function shutdown(d: Decision, step: 'drain' | 'stop', leaveEngines: boolean): void {
  const { state } = d;
  state.closing = step;
  state.leaveEngines = leaveEngines;
  for (const model of state.models.values()) {
    withdraw(d, model);
    cancelFetch(d, model, 'the gateway is shutting down');
    const servesOn = step === 'drain' && servesWithoutLoading(model);
    if (!servesOn) refuseQueue(d, model, SHUTTING_DOWN, 'the gateway is shutting down');
    if (step === 'stop') endModel(d, model);
  }
}

/** With the plans gone, a drain for another model's sake is taken back. */
function servesWithoutLoading(model: ModelState): boolean {
  const { engine } = model;
  return (
    engine.kind === 'awake' ||
    engine.kind === 'external' ||
    (engine.kind === 'draining' && engine.beneficiary !== null && !engine.wasCut)
  );
}

function endModel(d: Decision, model: ModelState): void {
  for (const requestId of model.running.keys()) {
    d.effects.push({ kind: 'cut', requestId, refusal: SHUTTING_DOWN, reason: 'the gateway stops' });
  }
  const engine = model.engine;
  const launchId = reservationOf(engine)?.launchId;
  // What starts, sleeps or moves is left as well: how far it is stands in its record, and the next gateway goes on.
  if (d.state.leaveEngines && launchId !== undefined && engine.kind !== 'stopping') {
    d.effects.push({
      kind: 'release',
      model: model.policy.name,
      launchId,
      reason: 'engines are left running',
    });
    d.state.launches.delete(launchId);
    setEngine(d.state, model, COLD);
  } else if (engine.kind !== 'stopping' && reservationOf(engine) !== null) {
    stopEngine(d, model, 'the gateway stops');
  }
}
