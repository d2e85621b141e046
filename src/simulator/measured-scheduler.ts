/** A scheduler whose decisions are counted, timed and shown to observers. */
import type { Scheduler } from '../scheduler/scheduler.ts';
import type { SimulationObserver } from './simulation-observer.ts';

const NS_PER_MS = 1e6;

export class MeasuredScheduler implements Scheduler {
  decisions = 0;
  decisionMs = 0;
  /** What a decision threw first; null: nothing. It may have been thrown where nobody could catch it. */
  failure: { readonly error: unknown } | null = null;
  readonly begin: Scheduler['begin'];
  readonly decide: Scheduler['decide'];

  constructor(scheduler: Scheduler, observers: readonly SimulationObserver[]) {
    const watching = observers.filter(({ decided }) => decided !== undefined);
    this.begin = (setup, nowMs) => {
      const begun = scheduler.begin(setup, nowMs);
      for (const observer of observers) observer.began?.(begun.state, nowMs);
      return begun;
    };
    this.decide = (state, event, nowMs) => {
      if (this.failure !== null) return [];
      const beganMs = performance.now();
      try {
        const effects = scheduler.decide(state, event, nowMs);
        this.decisionMs += performance.now() - beganMs;
        this.decisions += 1;
        for (const observer of watching) observer.decided?.(event, effects, state, nowMs);
        return effects;
      } catch (error) {
        this.failure = { error };
        return [];
      }
    };
  }

  get decisionNs(): number {
    return Math.round(this.decisionMs * NS_PER_MS);
  }
}
