/** What the host's memory allows our engines, told to the scheduler in coarse steps; and how far figures of it are believed. */
import type { DevicesConfig } from '../config/resolved-config.ts';
import type { HostMemory } from '../devices/device.ts';
import type { SchedulerEvent } from '../scheduler/events.ts';
import type { SchedulerState } from '../scheduler/state.ts';
import { hostBudgetMib } from './host-budget.ts';
import { movesInHost, withSleepers } from './resting-uses.ts';

/** Changes of the host's budget below this are not heeded: a breath of the host must not cost a sleeper. */
const HOST_STEP_MIB = 512;
/** A sleeper is not believed to hold more of the host than so many times what was reckoned. */
const HOST_DOUBT = 2;

/** Null: nothing that is worth telling. */
export function hostEvent(
  state: SchedulerState,
  { hostMemoryMib, hostMemoryFloorMib }: DevicesConfig,
  host: HostMemory,
): SchedulerEvent | null {
  // In the middle of a move nobody can say whose the host's memory is.
  if (movesInHost(state)) return null;
  const budgetMib = hostBudgetMib({
    host: withSleepers(state, host),
    limitMib: hostMemoryMib,
    floorMib: hostMemoryFloorMib,
  });
  const known = state.hostBudgetMib;
  if (known !== null && Math.abs(known - budgetMib) < HOST_STEP_MIB) return null;
  return { kind: 'host_memory', budgetMib: Math.floor(budgetMib) };
}

/** What else began on the host while it fell asleep may be in the figure: it is believed within reason. */
export function believedSleep(
  state: SchedulerState,
  event: Extract<SchedulerEvent, { kind: 'slept' }>,
): SchedulerEvent {
  const expectedMib = state.models.get(event.model)?.need?.hostAsleepMib ?? null;
  if (event.hostMib === null || expectedMib === null) return event;
  return { ...event, hostMib: Math.min(event.hostMib, HOST_DOUBT * expectedMib) };
}
