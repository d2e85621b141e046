/**
 * Host memory: sleeping engines keep their weights there, and every engine's processes take some. It is one more device,
 * from which sleepers are evicted by the same credit rule (credit.ts).
 */
import { chargeHostRent, hostCreditOf } from './credit.ts';
import type { AsleepState } from './engine-state.ts';
import { hostMibOf } from './host-held.ts';
import { type Decision, isWaitedFor, type ModelState, type SchedulerState } from './state.ts';
import { canSleep } from './turn.ts';
import { dismiss } from './withdrawal.ts';

/**
 * Is there host memory for it to sleep in? Sleepers with less credit give way first, which takes until they are gone; one
 * with less credit than all of them is stopped itself.
 */
export function waySleeping(d: Decision, model: ModelState): 'sleep' | 'stop' | 'wait' {
  const { state } = d;
  const { need } = model;
  if (need === null || state.hostBudgetMib === null || !canSleep(model)) return 'stop';
  const overMib = hostHeldMib(state) - need.hostAwakeMib + need.hostAsleepMib - state.hostBudgetMib;
  if (overMib <= 0) return 'sleep';
  const own = hostCreditOf(state, model, need.hostAsleepMib);
  return makeHostRoom(d, overMib, own) ? 'wait' : 'stop';
}

/** Has sleepers leave, the least credit first, until `neededMib` come back; false: those below `creditMax` do not suffice. */
function makeHostRoom(d: Decision, neededMib: number, creditMax: number): boolean {
  const sleepers: { readonly model: ModelState; readonly engine: AsleepState }[] = [];
  let comingMib = 0;
  for (const model of d.state.engines.holders) {
    const { engine } = model;
    if (engine.kind !== 'asleep') {
      if (engine.kind === 'stopping' && !engine.unverified) comingMib += hostMibOf(model);
    } else if (engine.leaving !== null) comingMib += engine.hostMib;
    // Whoever is waited for is about to wake.
    else if (engine.hostCredit < creditMax && !isWaitedFor(model)) sleepers.push({ model, engine });
  }
  sleepers.sort((a, b) => a.engine.hostCredit - b.engine.hostCredit);
  let freedMib = comingMib;
  const chosen = sleepers.filter(({ engine }) => {
    if (freedMib >= neededMib) return false;
    freedMib += engine.hostMib;
    return true;
  });
  // Of an excess that is there already, every part counts; room for a newcomer is worth it only as a whole.
  if (freedMib < neededMib && creditMax < Number.POSITIVE_INFINITY) return false;
  for (const { model, engine } of chosen) {
    chargeHostRent(d.state, engine.hostCredit);
    dismiss(d, model, engine, 'host memory is needed for engines that are worth more there');
  }
  return true;
}

/** Where processes of ours take more of the host than they may, sleepers give way, the least credit first. */
export function shrinkToHost(d: Decision): void {
  const { hostBudgetMib } = d.state;
  if (hostBudgetMib === null) return;
  const overMib = hostHeldMib(d.state) - hostBudgetMib;
  if (overMib > 0) makeHostRoom(d, overMib, Number.POSITIVE_INFINITY);
}

/** Host memory that processes of our engines hold, as far as it is known. */
function hostHeldMib(state: SchedulerState): number {
  let sum = 0;
  for (const model of state.engines.holders) sum += hostMibOf(model);
  return sum;
}
