/** What launches tell of memory: less room than was reckoned, and what an engine really holds. */
import type { DeviceId } from '../core/ids.ts';
import { setEngine } from './engine-index.ts';
import { moveNotBegun } from './move-budget.ts';
import { noteOverBudget, reservedMib } from './moves.ts';
import { pump, wish } from './requests.ts';
import { noteShortage } from './shortage.ts';
import { isUnwanted } from './sleeping.ts';
import type { Decision, ModelState } from './state.ts';
import { dismiss } from './withdrawal.ts';

/** Before the next try, also where nothing is found that is short. */
const ROOM_RETRY_MS = 1_000;

/** A sleeper that still holds more than this of what it had awake does not sleep. */
const SLEPT_SHARE_MAX = 0.5;

/** The launch, or the waking, was not begun: the model is where it was, and is planned anew with what is free. */
export function roomMissing(
  d: Decision,
  model: ModelState,
  freeMib: Readonly<Record<DeviceId, number>>,
): void {
  const { engine } = model;
  if (engine.kind !== 'starting' && engine.kind !== 'waking') return;
  moveNotBegun(d.state, engine.reservation, d.nowMs);
  const notBeforeMs = d.nowMs + ROOM_RETRY_MS;
  if (engine.kind === 'starting') {
    d.state.launches.delete(engine.reservation.launchId);
    setEngine(d.state, model, { kind: 'cold', notBeforeMs, failure: null });
  } else {
    setEngine(d.state, model, engine.asleep);
    engine.asleep.notBeforeMs = notBeforeMs;
    if (engine.retiring !== undefined || isUnwanted(d, model, engine.reservation))
      dismiss(d, model, engine.asleep, 'it is not wanted any more');
    pump(d, model);
  }
  for (const [id, free] of Object.entries(freeMib)) {
    const device = d.state.devices.get(id);
    if (device === undefined) continue;
    const takenMib = Math.max(0, device.totalMib - free - reservedMib(d, id));
    noteShortage(d.state, id, takenMib, d.nowMs);
  }
  d.touched.add(model);
  d.review = true;
  wish(d, model);
}

/** What an engine was measured to hold replaces what was reserved for it; a sleeper never counts for more than awake. */
export function useMeasured(d: Decision, model: ModelState, memoryMibPerDevice: number): void {
  const { engine } = model;
  if (engine.kind === 'asleep') {
    const heldMib = Math.min(memoryMibPerDevice, engine.awakeReservation.memoryMibPerDevice);
    setEngine(d.state, model, {
      ...engine,
      reservation: { ...engine.reservation, memoryMibPerDevice: heldMib },
    });
    noteOverBudget(d, engine.reservation.deviceIds);
    // Its own memory would be in the way of its waking.
    const hasSlept = heldMib <= SLEPT_SHARE_MAX * engine.awakeReservation.memoryMibPerDevice;
    if (!hasSlept && model.engine.kind === 'asleep' && model.engine.leaving === null)
      dismiss(d, model, model.engine, 'it says that it sleeps, and holds what it should have freed');
    // Once it is gone it starts anew for those who wait.
    d.review = true;
    return;
  }
  const awake = engine.kind === 'draining' ? engine.awake : engine;
  if (awake.kind !== 'awake') return;
  awake.reservation = { ...awake.reservation, memoryMibPerDevice };
  setEngine(d.state, model, engine);
  noteOverBudget(d, awake.reservation.deviceIds);
  d.review = true;
}
