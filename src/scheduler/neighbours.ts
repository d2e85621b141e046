/** Engines beside an engine, on any of its devices. */
import { type EngineState, isDelicate, reservationOf } from './engine-state.ts';
import type { Decision, ModelState } from './state.ts';

/** Somebody on its devices is at a point at which memory must not come back. */
export function hasDelicateNeighbour(d: Decision, model: ModelState): boolean {
  return hasNeighbour(d, model, isDelicate);
}

export function hasNeighbour(
  { state }: Decision,
  model: ModelState,
  matches: (engine: EngineState) => boolean,
): boolean {
  for (const id of reservationOf(model.engine)?.deviceIds ?? []) {
    for (const other of state.engines.holdersOn(id))
      if (other !== model && matches(other.engine)) return true;
  }
  return false;
}
