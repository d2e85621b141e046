/** Taking a model out of the contest, and a sleeper off its devices. */
import { setEngine } from './engine-index.ts';
import type { AsleepState } from './engine-state.ts';
import { leaveContest } from './rank.ts';
import type { Decision, ModelState } from './state.ts';

/** Takes the model out of every competition for devices. */
export function withdraw(d: Decision, model: ModelState): void {
  leaveContest(d.state, model);
  d.state.plans.delete(model.policy.name);
  d.review = true;
}

/** A sleeper is to be stopped, as soon as no neighbour is at a delicate point; then it may contend again. */
export function dismiss(d: Decision, model: ModelState, engine: AsleepState, reason: string): void {
  engine.leaving = reason;
  engine.leaveByMs = d.nowMs + model.policy.drainTimeoutMs;
  setEngine(d.state, model, engine);
  withdraw(d, model);
  d.touched.add(model);
}
