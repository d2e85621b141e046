/** What a policy reckons with that lets victims sleep where they can. */
import type { ModelView } from '../../scheduler/policy-views.ts';

/** Taking the engine off its devices and bringing it back, in milliseconds. */
export function reloadMs(engine: ModelView): number {
  return engine.canSleep ? engine.sleepMs + engine.wakeMs : engine.stopMs + engine.startMs;
}

export function sleepIfItCan(engine: ModelView): 'sleep' | 'stop' {
  return engine.canSleep ? 'sleep' : 'stop';
}
