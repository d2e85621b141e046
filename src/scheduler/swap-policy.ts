/**
 * Who gets devices and who gives way: the part of the scheduler that can be exchanged. Everything else (queues, moves, memory
 * that is reserved before it is used, failures) is the same under every policy.
 */
import type { Decision, ModelState, SchedulerState } from './state.ts';

export interface SwapPolicy {
  readonly name: string;
  /** Called after whatever may let a waiting model get on; again while it asks for it by `d.review`. */
  rebalance(d: Decision): void;
  /** May a waiting request of the model go to its engine, which is awake and has a free slot? Absent: always. */
  mayPass?(state: SchedulerState, model: ModelState): boolean;
}
