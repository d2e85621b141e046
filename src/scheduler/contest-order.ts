/** Who waits for devices, in the order in which they get some: for forecasts, which change nothing. */
import { overdue, Ranking } from './rank.ts';
import type { ModelState, Plan, SchedulerState } from './state.ts';

/** Why somebody goes before others. */
export type RankReason =
  /** It has waited for as long as the waiting bound allows. */
  | 'overdue'
  /** Its devices are being emptied for it already. */
  | 'holds_devices'
  /** For what bringing it up and serving it takes. */
  | 'more_waiting_work';

export interface Ranked {
  readonly model: ModelState;
  readonly why: RankReason;
}

export function* contestOrder(state: SchedulerState, nowMs: number): Generator<Ranked> {
  const plans = new Map<ModelState, Plan>();
  for (const model of state.contenders) {
    const plan = state.plans.get(model.policy.name);
    if (plan !== undefined) plans.set(model, plan);
  }
  const { models: first } = overdue(state, nowMs, plans);
  const ranking = new Ranking(state.contenders, first, nowMs, plans);
  for (let model = ranking.next(); model !== null; model = ranking.next()) {
    const hasBegun = state.plans.get(model.policy.name)?.hasBegun === true;
    yield {
      model,
      why: first.includes(model) ? 'overdue' : hasBegun ? 'holds_devices' : 'more_waiting_work',
    };
  }
}
