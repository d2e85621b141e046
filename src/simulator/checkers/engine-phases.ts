/** Moves of an engine, as those see them who measure what they take. */
import type { EngineState } from '../../scheduler/engine-state.ts';

/** It gives its devices back, all or most of them. */
export function isLeaving(kind: EngineState['kind']): boolean {
  return kind === 'stopping' || kind === 'falling_asleep';
}

/** It is brought up. */
export function isComing(kind: EngineState['kind']): boolean {
  return kind === 'starting' || kind === 'waking';
}
