/** The engine that a model has, for questions that only this one can answer. */
import type { LaunchId, ModelName } from '../core/ids.ts';
import { reservationOf } from '../scheduler/engine-state.ts';
import type { SchedulerState } from '../scheduler/state.ts';

export interface StandingEngine {
  /** Null: a server that others run. */
  readonly launchId: LaunchId | null;
  /** `draining`: it takes no requests until it sleeps. `ending`: it takes none any more. */
  readonly state: 'open' | 'draining' | 'ending';
}

/** Null: the model has no engine, or one that is being stopped. Engines that start, sleep and wake count. */
export function standingEngine(
  state: Pick<SchedulerState, 'models'>,
  model: ModelName,
): StandingEngine | null {
  const engine = state.models.get(model)?.engine;
  if (engine === undefined || engine.kind === 'stopping') return null;
  if (engine.kind === 'external') return { launchId: null, state: 'open' };
  const reservation = reservationOf(engine);
  if (reservation === null) return null;
  const { launchId } = reservation;
  if (engine.kind === 'asleep') return { launchId, state: engine.leaving === null ? 'open' : 'ending' };
  if (engine.kind !== 'draining') return { launchId, state: 'open' };
  return { launchId, state: engine.how === 'sleep' ? 'draining' : 'ending' };
}
