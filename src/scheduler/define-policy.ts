/** How a swap policy is written (docs/policies.md): what it does at each review, over the desk. */
import { shrinkToHost } from './host-memory.ts';
import { PolicyDesk, PolicyLook } from './policy-desk.ts';
import { ModelView } from './policy-views.ts';
import { shrinkToBudgets } from './rebalance.ts';
import { pump } from './requests.ts';
import type { Decision, SchedulerState } from './state.ts';
import type { SwapPolicy } from './swap-policy.ts';

/** What one run of a policy does. It may keep what it likes between calls; it must not ask a clock or draw lots. */
export interface PolicyRules {
  /** Called again in the same decision as long as it orders moves, so it may do one thing at a time. */
  review(desk: PolicyDesk): void;
  /**
   * May a request of `model`, whose engine is awake with a free slot, be handed to it now? Absent: always. Those that wait
   * are handed over by `passOn`.
   */
  mayPass?(model: ModelView, look: PolicyLook): boolean;
}

/** `begin` is called once for each run: what it returns belongs to that run alone. */
export function definePolicy(name: string, begin: () => PolicyRules): SwapPolicy {
  const runs = new WeakMap<SchedulerState, PolicyRules>();
  const rulesOf = (state: SchedulerState): PolicyRules => {
    const known = runs.get(state);
    if (known !== undefined) return known;
    const rules = begin();
    runs.set(state, rules);
    return rules;
  };
  const rebalance = (d: Decision): void => {
    if (d.state.overBudget.size > 0) shrinkToBudgets(d);
    shrinkToHost(d);
    const before = new Map(d.state.plans);
    d.state.plans.clear();
    if (d.state.closing === 'no') {
      const desk = new PolicyDesk(d, before);
      rulesOf(d.state).review(desk);
      desk.close();
      return;
    }
    // Who is awake serves what it can; nobody's order matters any more.
    for (const model of d.state.models.values()) pump(d, model);
  };
  if (begin().mayPass === undefined) return { name, rebalance };
  return {
    name,
    rebalance,
    mayPass: (state, model) =>
      state.closing !== 'no' ||
      rulesOf(state).mayPass?.(new ModelView(model), new PolicyLook(state)) !== false,
  };
}
