/** Who waits for devices, in the order in which they get some: for forecasts, which change nothing. */
import { Ranking } from './rank.ts';
import type { ModelState, SchedulerState } from './state.ts';

/** Why somebody goes before others. */
export type RankReason =
  /** Its devices are set aside for it already. */
  | 'holds_devices'
  /** For what bringing it up takes. */
  | 'more_waiting_work';

export function* contestOrder(state: SchedulerState, nowMs: number): Generator<ModelState> {
  const ranking = new Ranking(state.contenders, nowMs, state.plans);
  for (let model = ranking.next(); model !== null; model = ranking.next()) yield model;
}

export function rankReason(state: SchedulerState, model: ModelState): RankReason {
  return state.plans.has(model.policy.name) ? 'holds_devices' : 'more_waiting_work';
}
