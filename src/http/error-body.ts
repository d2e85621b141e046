/**
 * Writes our own errors in the client's dialect: the one place that does. What an engine answers never comes here.
 *
 * 1. Every body says `origin: "gateway"`, so that nobody takes our error for the engine's.
 * 2. Retry-After is clamped, because official SDKs sleep it silently; the body tells the true estimate.
 * 3. What a retry cannot mend carries `x-should-retry: false`, which the official SDKs obey.
 */

import { ERRORS, type ErrorType, errorMessage, type Refusal } from '../core/errors.ts';
import { RETRY_AFTER_MAX_S, RETRY_AFTER_MIN_S } from '../core/limits.ts';
import { clipped } from './clipped.ts';

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
  const { status } = ERRORS[refusal.code];
  const { error, ...beside } =
    context.dialect === 'anthropic' ? anthropicEnvelope(refusal, context) : openaiEnvelope(refusal, context);
  return Buffer.from((options.midFrame ? '\n\n' : '') + errorEvent({ ...error, status }, beside, context));
}

/** What of an engine's message an error event repeats. */
const ENGINE_MESSAGE_CHARS_MAX = 4_000;

/**
 * The event for an engine's error answer where an early 200 went out before it: the engine's status, and its code, type
 * and message as far as `body` says them in one of the shapes that engines use.
 */
export function engineErrorFrame(status: number, body: string, context: ErrorContext): Buffer {
  const said = engineError(body);
  const message = text(said.message) ?? `the engine answered with status ${status}`;
  const type = text(said.type) ?? engineErrorType(status);
  const code = typeof said.code === 'number' ? said.code : (text(said.code) ?? status);
  const beside = { origin: 'engine', request_id: context.requestId };
  const error =
    context.dialect === 'anthropic'
      ? { type, message, code, status }
      : { message, type, param: text(said.param), code, status };
  const tagged = context.dialect === 'anthropic' ? { type: 'error', ...beside } : beside;
  return Buffer.from(errorEvent(error, tagged, context));
}

/** `{"error": {...}}`, `{"error": "..."}`, `{"detail": ...}`, the object itself, or text that is no JSON. */
function engineError(body: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return { message: body.trim() };
  }
  if (!isObject(value)) return { message: body.trim() };
  const { error, detail } = value;
  if (isObject(error)) return error;
  if (typeof error === 'string') return { ...value, message: error };
  if (value.message !== undefined || detail === undefined) return value;
  return { message: typeof detail === 'string' ? detail : JSON.stringify(detail) };
}

function engineErrorType(status: number): string {
  return status < 500 ? 'invalid_request_error' : 'api_error';
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Null for what is no text, or none. */
function text(value: unknown): string | null {
  if (typeof value !== 'string' || value === '') return null;
  return clipped(value, ENGINE_MESSAGE_CHARS_MAX);
}

interface EventError {
  readonly message: string;
  readonly code: string | number;
  /** The HTTP status that it would have had as an answer of its own. */
  readonly status: number;
  readonly param?: string | null;
}

/** An error's event as the dialect's clients expect it; `beside`: keys next to `error`. */
function errorEvent(error: EventError, beside: object, { dialect }: ErrorContext): string {
  if (dialect === 'openai') return `data: ${JSON.stringify({ error, ...beside })}\n\n`;
  const { message, code, param = null } = error;
  const data =
    dialect === 'anthropic'
      ? { error, ...beside }
      : { type: 'error', code, message, param, error, ...beside };
  return `event: error\ndata: ${JSON.stringify(data)}\n\n`;
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
