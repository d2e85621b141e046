/** The scheduler as a port: what the control loop drives, and what a simulation may exchange. */
import { beginScheduling, decide } from './decide.ts';
import type { Effect } from './effects.ts';
import type { SchedulerEvent } from './events.ts';
import type { SchedulerSetup } from './model-policy.ts';
import type { SchedulerState } from './state.ts';
import type { SwapPolicy } from './swap-policy.ts';
import { TURNS } from './turns-policy.ts';

export interface Scheduler {
  begin(setup: SchedulerSetup, nowMs: number): { readonly state: SchedulerState; readonly effects: Effect[] };
  /** As of `decide`. */
  decide(state: SchedulerState, event: SchedulerEvent, nowMs: number): Effect[];
}

export function createScheduler(policy: SwapPolicy = TURNS): Scheduler {
  return { begin: (setup, nowMs) => beginScheduling(setup, nowMs, policy), decide };
}
