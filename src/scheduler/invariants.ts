/** What must hold after every event. Cheap enough for every simulation step; production asserts the memory at each start. */
import { assert } from '../core/assert.ts';
import { assertEngineIndex } from './engine-index.ts';
import { isDelicate, isMoving, reservationOf } from './engine-state.ts';
import { availableMib } from './model-policy.ts';
import { assertMoveBudgets } from './move-budget.ts';
import { isAtRest } from './rebalance.ts';
import { mayPass } from './requests.ts';
import type { SchedulerState } from './state.ts';

/** Throws `AssertionFailure` naming the first invariant that does not hold. */
export function assertInvariants(state: SchedulerState): void {
  assertEngineIndex(state);
  assertCounts(state);
  assertDevices(state);
  assertPlans(state);
  assertMoveBudgets(state);
  assertFetches(state);
  assertRest(state);
}

/** I9: whoever contends and is not looked at at each review was passed over and holds nothing. */
function assertRest(state: SchedulerState): void {
  for (const model of state.restless)
    assert(state.contenders.has(model), `${model.policy.name} does not contend and does not rest`);
  for (const model of state.contenders) {
    const { name } = model.policy;
    if (state.restless.has(model)) continue;
    assert(isAtRest(model) && !state.plans.has(name), `${name} contends, and no review looks at it`);
  }
}

/** I7: whoever fetches contends for nothing and holds nothing. */
function assertFetches(state: SchedulerState): void {
  for (const model of state.models.values()) {
    if (model.engine.kind !== 'fetching') continue;
    const { name } = model.policy;
    assert(!state.contenders.has(model) && !state.plans.has(name), `${name} fetches and contends`);
  }
}

/** I1: every known request waits or runs, once; nothing else does. I2 (no dispatch beyond the slots) is asserted where it happens. */
function assertCounts(state: SchedulerState): void {
  let known = 0;
  for (const model of state.models.values()) {
    const name = model.policy.name;
    for (const request of model.queue) {
      known += 1;
      assert(
        state.requests.get(request.requestId) === model,
        `${request.requestId} waits for ${name} unknown to all`,
      );
      assert(!model.running.has(request.requestId), `${request.requestId} waits and runs at ${name}`);
    }
    for (const requestId of model.running.keys()) {
      known += 1;
      assert(state.requests.get(requestId) === model, `${requestId} runs at ${name} unknown to all`);
    }
    assertWayForward(state, model.policy.name);
  }
  assert(known === state.requests.size, `${state.requests.size} requests are known, ${known} wait or run`);
}

/** I3: every waiting request has a planned way forward. */
function assertWayForward(state: SchedulerState, name: string): void {
  const model = state.models.get(name);
  if (model === undefined || model.queue.size === 0 || state.closing !== 'no') return;
  const { kind } = model.engine;
  const isLight = kind === 'asleep' && model.queue.isLight;
  if (
    kind === 'cold' ||
    kind === 'failed' ||
    (kind === 'asleep' && model.engine.leaving === null && !isLight)
  )
    assert(state.contenders.has(model), `${name} has requests and does not contend`);
  if (kind === 'awake' && !model.engine.suspect && mayPass(state, model)) {
    assert(
      model.running.size >= model.policy.maxConcurrent,
      `${name} is awake with free slots while requests wait`,
    );
  }
  assert(
    model.armedMs < Number.POSITIVE_INFINITY,
    `${name} has waiting requests and no timer for their patience`,
  );
}

/** I4: reservations within budget (of devices that are there). I5: one move per device. */
function assertDevices(state: SchedulerState): void {
  const reserved = new Map<string, number>();
  const moving = new Map<string, number>();
  for (const model of state.models.values()) {
    const reservation = reservationOf(model.engine);
    for (const id of reservation?.deviceIds ?? []) {
      reserved.set(id, (reserved.get(id) ?? 0) + (reservation?.memoryMibPerDevice ?? 0));
      if (isDelicate(model.engine)) moving.set(id, (moving.get(id) ?? 0) + 1);
    }
    if (isMoving(model.engine))
      assert(reservation !== null, `${model.policy.name} moves without a reservation`);
  }
  for (const [id, starts] of moving)
    assert(starts <= 1, `${starts} engines start, fall asleep or wake on ${id} at once`);
  for (const [id, device] of state.devices) {
    const mib = reserved.get(id) ?? 0;
    // A budget that shrank under engines that run is an event, not a fault.
    if (state.overBudget.has(id)) continue;
    const limitMib = availableMib(device);
    assert(mib <= limitMib, `${id} has ${mib} MiB reserved of ${limitMib}`);
  }
}

/** I6: a device is held for one model at most, and only for one that contends. */
function assertPlans(state: SchedulerState): void {
  const holder = new Map<string, string>();
  for (const plan of state.plans.values()) {
    const model = state.models.get(plan.model);
    assert(
      model !== undefined && state.contenders.has(model),
      `devices are held for ${plan.model}, which does not contend`,
    );
    for (const id of plan.deviceIds) {
      assert(!holder.has(id), `${id} is held for ${plan.model} and ${holder.get(id)}`);
      holder.set(id, plan.model);
    }
  }
}
