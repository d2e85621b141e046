/**
 * Gives devices to the models that wait for them, in rank order.
 *  1. Free room is used at once.
 *  2. Otherwise the model holds the devices on which room is had soonest, and the engines there that stand in its way
 *     give way as turn.ts says: idle ones are stopped, busy ones drain.
 *  3. What nobody waits for any more goes on as before: its drain is taken back.
 * Invariant B1: a device is held for at most one model.
 */
import type { Placement } from '../placement/place.ts';
import { abandonable, placeNow } from './device-view.ts';
import { isMoving, reservationOf } from './engine-state.ts';
import { beginDrain, resumeFromDrain, startEngine, stopEngine } from './moves.ts';
import { leaveContest, rankContenders } from './rank.ts';
import { neverFits } from './refusals.ts';
import { refuseQueue } from './requests.ts';
import { type Decision, isIdle, type ModelState } from './state.ts';

export function rebalance(d: Decision): void {
  dropStalePlans(d);
  if (d.state.closing === 'no') for (const model of rankContenders(d.state, d.nowMs)) seat(d, model);
  takeBackDrains(d);
}

function seat(d: Decision, model: ModelState): void {
  model.reviewAtMs = Number.POSITIVE_INFINITY;
  d.touched.add(model);
  if (model.neverFits !== null) {
    leaveContest(d.state, model);
    refuseQueue(d, model, neverFits(model, model.neverFits), 'it can never fit');
    return;
  }
  // A pause after a failure holds no devices.
  if (model.engine.kind === 'cold' && model.engine.notBeforeMs > d.nowMs) return;
  const placement = choose(d, model);
  switch (placement.kind) {
    case 'free':
      startEngine(d, model, placement.deviceIds, placement.memoryMibPerDevice);
      return;
    case 'evict':
      d.state.plans.set(model.policy.name, {
        model: model.policy.name,
        deviceIds: placement.deviceIds,
        sinceMs: d.nowMs,
      });
      if (placement.inMs > 0) model.reviewAtMs = d.nowMs + placement.inMs;
      else for (const name of placement.victims) giveWay(d, name, model);
      return;
    case 'blocked':
    case 'never':
      return;
  }
}

/** Room anywhere beats the devices it holds; those beat a new choice. */
function choose(d: Decision, model: ModelState): Placement {
  const anywhere = placeNow(d.state, model, d.nowMs);
  const plan = d.state.plans.get(model.policy.name);
  if (anywhere.kind === 'free' || plan === undefined) return anywhere;
  const asPlanned = placeNow(d.state, model, d.nowMs, plan.deviceIds);
  if (asPlanned.kind === 'free' || asPlanned.kind === 'evict') return asPlanned;
  d.state.plans.delete(model.policy.name);
  return anywhere;
}

function giveWay(d: Decision, name: string, beneficiary: ModelState): void {
  const victim = d.state.models.get(name);
  if (victim === undefined) return;
  const engine = victim.engine;
  if (engine.kind === 'starting' && abandonable(victim, d.nowMs)) {
    stopEngine(d, victim, `nobody waits for it any more and ${beneficiary.policy.name} needs its devices`);
  } else if (engine.kind === 'awake') {
    const why = isIdle(victim) ? 'it is idle' : 'its turn has ended';
    beginDrain(
      d,
      victim,
      beneficiary.policy.name,
      `${why} and ${beneficiary.policy.name} waits for its devices`,
    );
  }
}

function dropStalePlans(d: Decision): void {
  for (const plan of d.state.plans.values()) {
    const model = d.state.models.get(plan.model);
    if (model === undefined || !d.state.contenders.has(model)) d.state.plans.delete(plan.model);
  }
}

function takeBackDrains(d: Decision): void {
  for (const model of d.state.models.values()) {
    const engine = model.engine;
    if (engine.kind !== 'draining' || engine.beneficiary === null || engine.wasCut) continue;
    const plan = d.state.plans.get(engine.beneficiary);
    const claimed = engine.awake.reservation.deviceIds.some((id) => plan?.deviceIds.includes(id));
    if (!claimed) resumeFromDrain(d, model);
  }
}

/** Devices on which a move is under way, for status and invariants. */
export function movingDevices(models: Iterable<ModelState>): Map<string, string[]> {
  const moving = new Map<string, string[]>();
  for (const model of models) {
    const reservation = reservationOf(model.engine);
    if (reservation === null || !isMoving(model.engine)) continue;
    for (const id of reservation.deviceIds) moving.set(id, [...(moving.get(id) ?? []), model.policy.name]);
  }
  return moving;
}
