/**
 * Host memory: sleeping engines keep their weights there, and every engine's processes take some. It is one more device, where
 * those sleep that are worth the most per MiB: by what a waking saves against a start, and by how much they are asked for
 * (demand.ts). Who came last says little: models that take turns would throw each other out just before they return.
 */
import { worthOfSaving } from './demand.ts';
import type { AsleepState } from './engine-state.ts';
import { hostMibOf } from './host-held.ts';
import { hasDelicateNeighbour } from './neighbours.ts';
import { type Decision, isWaitedFor, type ModelState, type SchedulerState } from './state.ts';
import { canSleep, startCostMs, wakeCostMs } from './turn.ts';
import { dismiss } from './withdrawal.ts';

/** What it is worth that it sleeps instead of being stopped. */
export function sleepWorth(model: ModelState, nowMs: number): number {
  return worthOfSaving(model, startCostMs(model) - wakeCostMs(model), nowMs);
}

/**
 * Is there host memory for it to sleep in? Sleepers that are together worth less than it give way first, the least per MiB
 * before others, which takes until they are gone; else it is stopped itself.
 */
export function waySleeping(d: Decision, model: ModelState): 'sleep' | 'stop' | 'wait' {
  const { state } = d;
  const { need } = model;
  if (need === null || state.hostBudgetMib === null || !canSleep(model)) return 'stop';
  const overMib = hostHeldMib(state) - need.hostAwakeMib + need.hostAsleepMib - state.hostBudgetMib;
  if (overMib <= 0) return 'sleep';
  return makeHostRoom(d, overMib, sleepWorth(model, d.nowMs)) ? 'wait' : 'stop';
}

interface Sleeper {
  readonly model: ModelState;
  readonly engine: AsleepState;
  readonly worth: number;
}

function perMib({ worth, engine }: Sleeper): number {
  return worth / Math.max(1, engine.hostMib);
}

/**
 * Has sleepers leave until `neededMib` come back; false: not without losing as much as `worthMax`, or not at once: one beside an
 * engine that starts leaves only when that is up, and whoever waits for the room waits for longer than a sleep is worth.
 */
function makeHostRoom(d: Decision, neededMib: number, worthMax: number): boolean {
  const sleepers: Sleeper[] = [];
  const isPressing = worthMax === Number.POSITIVE_INFINITY;
  let freedMib = 0;
  for (const model of d.state.engines.holders) {
    const { engine } = model;
    if (engine.kind !== 'asleep') {
      if (engine.kind === 'stopping' && !engine.unverified) freedMib += hostMibOf(model);
    } else if (isPressing || !hasDelicateNeighbour(d, model)) {
      if (engine.leaving !== null) freedMib += engine.hostMib;
      else if (isPressing || !isWaitedFor(model))
        sleepers.push({ model, engine, worth: sleepWorth(model, d.nowMs) });
    }
  }
  sleepers.sort((a, b) => perMib(a) - perMib(b));
  let lostWorth = 0;
  const chosen: Sleeper[] = [];
  for (const sleeper of sleepers) {
    if (freedMib >= neededMib) break;
    freedMib += sleeper.engine.hostMib;
    lostWorth += sleeper.worth;
    chosen.push(sleeper);
  }
  // Of an excess that is there already, every part counts; room for a newcomer is worth it only as a whole.
  if (!isPressing && (freedMib < neededMib || lostWorth >= worthMax)) return false;
  for (const { model, engine } of chosen)
    dismiss(d, model, engine, 'host memory is needed for engines that are worth more there');
  return true;
}

/** Where processes of ours take more of the host than they may, sleepers give way, the least worth first. */
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
