/** The scheduler's refusals in one place: the same occasion gets the same code, numbers and headers. */
import type { Refusal } from '../core/errors.ts';
import type { EngineFailure } from './events.ts';
import type { ModelState } from './state.ts';

function seconds(ms: number): number {
  return Math.max(0, Math.round(ms / 100) / 10);
}

/** The keys and headers that the original's clients read (original.md section 2). */
export function queueFull(model: ModelState, retryAfterMs: number): Refusal {
  const depth = model.queue.size;
  const limit = model.policy.queueSize;
  return {
    code: 'queue_full',
    parameters: { model: model.policy.name, depth, limit },
    retryAfterS: seconds(retryAfterMs),
    beside: {
      details: `${depth} requests wait for ${model.policy.name}`,
      queue_depth: depth,
      max_queue_size: limit,
    },
    headers: { 'x-queue-depth': String(depth), 'x-queue-max-size': String(limit) },
  };
}

export function queueTimeout(
  model: ModelState,
  patienceMs: number,
  why: string,
  retryAfterMs: number,
): Refusal {
  return {
    code: 'queue_timeout',
    parameters: { model: model.policy.name, seconds: seconds(patienceMs), why },
    retryAfterS: seconds(retryAfterMs),
  };
}

export function waitTooLong(model: ModelState, expectedMs: number, patienceMs: number, why: string): Refusal {
  return {
    code: 'wait_too_long',
    parameters: {
      model: model.policy.name,
      seconds: seconds(expectedMs),
      patience: seconds(patienceMs),
      why,
    },
    retryAfterS: seconds(expectedMs),
  };
}

export function neverFits(model: ModelState, why: string): Refusal {
  return { code: 'model_never_fits', parameters: { model: model.policy.name, why } };
}

export function startFailed(model: ModelState, failure: EngineFailure, retryAfterMs: number): Refusal {
  const parameters = { model: model.policy.name, cause: failure.text };
  return failure.retryable
    ? { code: 'start_failed', parameters, retryAfterS: seconds(retryAfterMs) }
    : { code: 'start_failed_for_good', parameters };
}

export function engineFailed(
  model: ModelState,
  failure: EngineFailure,
  deaths: number,
  retryAfterMs: number,
): Refusal {
  return {
    code: 'engine_failed',
    parameters: { model: model.policy.name, deaths, cause: failure.text },
    retryAfterS: seconds(retryAfterMs),
  };
}

export function engineDied(model: ModelState, cause: string): Refusal {
  return { code: 'engine_died', parameters: { model: model.policy.name, cause }, retryAfterS: 1 };
}

export function engineUnreachable(model: ModelState, cause: string): Refusal {
  return { code: 'engine_unreachable', parameters: { model: model.policy.name, cause }, retryAfterS: 1 };
}

export function diedTwice(model: ModelState, cause: string): Refusal {
  return { code: 'engine_died_twice', parameters: { model: model.policy.name, cause } };
}

export function drainCut(model: ModelState): Refusal {
  return {
    code: 'drain_cut',
    parameters: { model: model.policy.name, seconds: seconds(model.policy.drainTimeoutMs) },
    retryAfterS: 1,
  };
}

export function modelRemoved(model: ModelState): Refusal {
  return {
    code: 'model_not_found',
    parameters: { model: model.policy.name, hint: ' It was taken out of the configuration.' },
  };
}

export const SHUTTING_DOWN: Refusal = { code: 'shutting_down', parameters: {}, retryAfterS: 5 };
