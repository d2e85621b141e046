/** Goes on with virtual time, and lets what hangs on promises run in between. */
import { assert } from '../../core/assert.ts';
import type { SimulatedMachine } from './simulated-machine.ts';

/** More timers than this at one time lead nowhere. */
const STEPS_AT_ONCE_MAX = 100_000;

/**
 * Fires the next timers until one touches a promise of the gateway, and lets that run out; most touch none, and awaiting them
 * would cost more than they do. False: nothing is due up to `untilMs()`, or `isOver()`.
 */
export async function stepMachine(
  machine: SimulatedMachine,
  isOver: () => boolean,
  untilMs: () => number,
): Promise<boolean> {
  while (!machine.isTouched) {
    if (isOver()) return false;
    const beforeMs = machine.clock.nowMs();
    if (!machine.clock.step(untilMs())) return false;
    machine.stepsAtOnce = machine.clock.nowMs() === beforeMs ? machine.stepsAtOnce + 1 : 0;
    assert(machine.stepsAtOnce < STEPS_AT_ONCE_MAX, `time does not go on at ${beforeMs} ms`);
  }
  await settleMachine(machine);
  return true;
}

/** None of the promises waits for anything but the clock. */
export async function settleMachine(machine: SimulatedMachine): Promise<void> {
  if (!machine.isTouched) return;
  await new Promise<void>((resolve) => setImmediate(resolve));
  machine.isTouched = false;
}
