/**
 * `estimate(model)`: when will it serve, and why not yet, in short. Retry-After, refusals and progress are made of it;
 * what it rests on is in explanation.ts.
 */
import type { ModelName } from '../core/ids.ts';
import { type Explanation, explain } from './explanation.ts';
import type { SchedulerState } from './state.ts';
import { duration, waitingSentence } from './waiting-sentence.ts';

export interface Estimate {
  /** As of `Explanation`. */
  readonly readyInMs: number | null;
  readonly why: string;
  readonly basis: 'measured' | 'assumed';
  readonly phase: string;
  readonly percent: number | null;
}

export function estimate(state: SchedulerState, name: ModelName, nowMs: number): Estimate {
  const explanation = explain(state, name, nowMs);
  return explanation === null
    ? { readyInMs: null, why: `there is no model ${name}`, basis: 'assumed', phase: 'unknown', percent: null }
    : estimateOf(explanation);
}

function estimateOf(explanation: Explanation): Estimate {
  const { readyInMs, basis, phase, percent } = explanation;
  return { readyInMs, why: waitingSentence(explanation, inSoManySeconds), basis, phase, percent };
}

function inSoManySeconds(inMs: number): string {
  return `${duration(inMs)} from now`;
}
