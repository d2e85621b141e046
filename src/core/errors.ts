/**
 * The one catalogue of errors that the gateway itself answers with. Codes are a contract: never reused, never renamed.
 * docs/errors.md is generated from this table and tested against it in both directions (`errors.test.ts`). The rows stand
 * beside it, by where an error comes from.
 * What an engine answers passes unchanged and never appears here.
 */
import { CAPACITY_ERRORS } from './capacity-errors.ts';
import { ENGINE_ERRORS } from './engine-errors.ts';
import { type ErrorEntry, entry } from './error-entry.ts';
import { REQUEST_ERRORS } from './request-errors.ts';

export type { ErrorEntry, ErrorType } from './error-entry.ts';

export const ERRORS = {
  ...REQUEST_ERRORS,
  ...CAPACITY_ERRORS,
  ...ENGINE_ERRORS,
  // Us.
  internal: entry(
    500,
    'api_error',
    'gateway',
    true,
    'The gateway failed: {detail}.',
    'Report it with the request id.',
  ),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

export type ErrorParameters = Readonly<Record<string, string | number>>;

/** An answer of ours before it is written in a client's dialect. Plain data, so that the scheduler can decide it. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly parameters: ErrorParameters;
  /** True estimate in seconds; the header is clamped to `RETRY_AFTER_MIN_S`..`RETRY_AFTER_MAX_S`. Absent: no Retry-After. */
  readonly retryAfterS?: number;
  /** Keys that stand beside `error` in the body (the original's clients read `queue_depth` and others there). */
  readonly beside?: Readonly<Record<string, string | number>>;
  /** Extra response headers, lower-case names. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Overrides the catalogue's `retryable` where only the occasion decides. */
  readonly retryable?: boolean;
}

/** Fills the template; a placeholder without a parameter stays visible, which the catalogue test refuses. */
export function errorMessage(code: ErrorCode, parameters: ErrorParameters): string {
  return ERRORS[code].template.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = parameters[name];
    return value === undefined ? whole : String(value);
  });
}
