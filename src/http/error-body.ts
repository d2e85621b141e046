/**
 * Writes our own errors in the client's dialect: the one place that does. What an engine answers never comes here.
 *
 * 1. Every body says `origin: "gateway"`, so that nobody takes our error for the engine's.
 * 2. Retry-After is clamped, because official SDKs sleep it silently; the body tells the true estimate.
 * 3. What a retry cannot mend carries `x-should-retry: false`, which the official SDKs obey.
 */
import { ERRORS, type ErrorType, errorMessage, type Refusal } from '../core/errors.ts';
import { RETRY_AFTER_MAX_S, RETRY_AFTER_MIN_S } from '../core/limits.ts';

/** How a route's clients expect errors: OpenAI's object, OpenAI's Responses events, Anthropic's object. */
export type Dialect = 'openai' | 'responses' | 'anthropic';

export interface ErrorAnswer {
  readonly status: number;
  /** Flat `[name, value, ...]`, lower-case names, Content-Length included. */
  readonly headers: string[];
  readonly body: Buffer;
}

export interface ErrorContext {
  readonly dialect: Dialect;
  readonly requestId: string;
}

/** The whole answer for a refusal that comes before any byte of an answer. */
export function errorBody(refusal: Refusal, context: ErrorContext): ErrorAnswer {
  const { status } = ERRORS[refusal.code];
  const body = Buffer.from(JSON.stringify(envelope(refusal, context)));
  const headers = [
    'content-type',
    'application/json',
    'content-length',
    String(body.length),
    'x-request-id',
    context.requestId,
  ];
  if (!isRetryable(refusal)) headers.push('x-should-retry', 'false');
  if (refusal.retryAfterS !== undefined)
    headers.push('retry-after', String(retryAfterHeader(refusal.retryAfterS)));
  if (status === 401) headers.push('www-authenticate', 'Bearer');
  for (const [name, value] of Object.entries(refusal.headers ?? {})) headers.push(name, value);
  return { status, headers, body };
}

/** Seconds for the Retry-After header: whole, and within what a client may be made to sleep. */
export function retryAfterHeader(estimateS: number): number {
  const whole = Number.isFinite(estimateS) ? Math.ceil(estimateS) : RETRY_AFTER_MAX_S;
  return Math.min(RETRY_AFTER_MAX_S, Math.max(RETRY_AFTER_MIN_S, whole));
}

/**
 * The event that ends a stream which broke in the middle; never followed by `[DONE]` or another clean end.
 * `midFrame`: the last byte sent was inside a frame, which has to be closed first.
 */
export function streamErrorFrame(
  refusal: Refusal,
  context: ErrorContext,
  options: { readonly midFrame: boolean } = { midFrame: false },
): Buffer {
  const data = JSON.stringify(frameData(refusal, context));
  const event = context.dialect === 'openai' ? '' : 'event: error\n';
  return Buffer.from(`${options.midFrame ? '\n\n' : ''}${event}data: ${data}\n\n`);
}

function frameData(refusal: Refusal, context: ErrorContext): object {
  if (context.dialect !== 'responses') return envelope(refusal, context);
  const { error, ...beside } = openaiEnvelope(refusal, context);
  const { message, code, param } = error;
  return { type: 'error', code, message, param, error, ...beside };
}

function envelope(refusal: Refusal, context: ErrorContext): object {
  return context.dialect === 'anthropic'
    ? anthropicEnvelope(refusal, context)
    : openaiEnvelope(refusal, context);
}

function openaiEnvelope(refusal: Refusal, context: ErrorContext) {
  const { code } = refusal;
  const { type } = ERRORS[code];
  const message = errorMessage(code, refusal.parameters);
  return {
    error: { message, type, param: parameterOf(refusal), code },
    ...besideKeys(refusal),
    origin: 'gateway',
    request_id: context.requestId,
  };
}

function anthropicEnvelope(refusal: Refusal, context: ErrorContext) {
  const { status, type } = ERRORS[refusal.code];
  const message = errorMessage(refusal.code, refusal.parameters);
  const anthropicType = status === 413 ? 'request_too_large' : ANTHROPIC_TYPES[type];
  return {
    type: 'error',
    error: { type: anthropicType, message, code: refusal.code },
    ...besideKeys(refusal),
    origin: 'gateway',
    request_id: context.requestId,
  };
}

const ANTHROPIC_TYPES: Readonly<Record<ErrorType, string>> = {
  invalid_request_error: 'invalid_request_error',
  authentication_error: 'authentication_error',
  permission_error: 'permission_error',
  not_found_error: 'not_found_error',
  rate_limit_error: 'rate_limit_error',
  overloaded_error: 'overloaded_error',
  api_error: 'api_error',
};

function besideKeys(refusal: Refusal): Readonly<Record<string, string | number>> {
  if (refusal.retryAfterS === undefined) return refusal.beside ?? {};
  return { ...refusal.beside, retry_after_seconds: refusal.retryAfterS };
}

function parameterOf(refusal: Refusal): string | null {
  if (refusal.code === 'model_duplicate') return String(refusal.parameters.key ?? 'model');
  return refusal.code.startsWith('model_') && ERRORS[refusal.code].fault === 'client' ? 'model' : null;
}

function isRetryable(refusal: Refusal): boolean {
  return refusal.retryable ?? ERRORS[refusal.code].retryable;
}
