/** What the catalogue of errors (`errors.ts`) says about one code. */

/** Who has to act: the client (request), the operator (configuration, capacity), the engine, or us. */
export type Fault = 'client' | 'operator' | 'engine' | 'gateway';

/** `type` of OpenAI's error object. */
export type ErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'permission_error'
  | 'not_found_error'
  | 'rate_limit_error'
  | 'overloaded_error'
  | 'api_error';

export interface ErrorEntry {
  readonly status: number;
  readonly type: ErrorType;
  readonly fault: Fault;
  /** Whether the same request may succeed later without anybody changing it. False sends `x-should-retry: false`. */
  readonly retryable: boolean;
  /** Message with `{name}` placeholders. */
  readonly template: string;
  /** What the reader can do, for docs/errors.md. */
  readonly remedy: string;
}

/** One row of the catalogue, its fields in the order of `ErrorEntry`. */
export function entry(
  status: number,
  type: ErrorType,
  fault: Fault,
  retryable: boolean,
  template: string,
  remedy: string,
): ErrorEntry {
  return { status, type, fault, retryable, template, remedy };
}
