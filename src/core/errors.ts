/**
 * The one catalogue of errors that the gateway itself answers with. Codes are a contract: never reused, never renamed.
 * docs/errors.md is generated from this table and tested against it in both directions (`errors.test.ts`).
 * What an engine answers passes unchanged and never appears here.
 */

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

function entry(
  status: number,
  type: ErrorType,
  fault: Fault,
  retryable: boolean,
  template: string,
  remedy: string,
): ErrorEntry {
  return { status, type, fault, retryable, template, remedy };
}

export const ERRORS = {
  // The request itself.
  body_not_json: entry(
    400,
    'invalid_request_error',
    'client',
    false,
    'The body is not valid JSON: {detail}.',
    'Send a JSON object encoded as UTF-8.',
  ),
  body_not_utf8: entry(
    400,
    'invalid_request_error',
    'client',
    false,
    'The body is not UTF-8 at byte {offset}.',
    'Encode the body as UTF-8.',
  ),
  body_encoding: entry(
    415,
    'invalid_request_error',
    'client',
    false,
    'Content-Encoding `{encoding}` is not accepted for requests.',
    'Send the body uncompressed.',
  ),
  body_too_large: entry(
    413,
    'invalid_request_error',
    'client',
    false,
    'The body is larger than the limit of {limitBytes} bytes.',
    'Send less, or raise `server.body_limit_mib`.',
  ),
  body_timeout: entry(
    408,
    'invalid_request_error',
    'client',
    true,
    'The body did not arrive within {seconds} s.',
    'Send the whole body sooner, or raise `server.request_timeout`.',
  ),
  body_too_slow: entry(
    408,
    'invalid_request_error',
    'client',
    true,
    'The body came at less than {bytesPerS} bytes/s.',
    'Send it faster, or lower `server.upload_rate_min`.',
  ),
  form_malformed: entry(
    400,
    'invalid_request_error',
    'client',
    false,
    'The multipart form cannot be read: {detail}.',
    'Send the form as RFC 7578 says, each name as `name="..."`.',
  ),
  body_members: entry(
    400,
    'invalid_request_error',
    'client',
    false,
    'The body has more than {limit} keys at its top level.',
    'Send fewer keys; no route of an engine knows so many.',
  ),
  body_missing: entry(
    400,
    'invalid_request_error',
    'client',
    false,
    'This route needs a JSON body that names a model.',
    'Send `{"model": "..."}` with the request.',
  ),
  content_type: entry(
    415,
    'invalid_request_error',
    'client',
    false,
    'Content-Type `{contentType}` is not accepted on this route; expected {expected}.',
    'Send the Content-Type that the message names.',
  ),
  model_missing: entry(
    400,
    'invalid_request_error',
    'client',
    false,
    'The body has no `model`, and no default model is configured.',
    'Name a model; GET /v1/models lists them.',
  ),
  model_not_string: entry(
    400,
    'invalid_request_error',
    'client',
    false,
    '`model` must be a string, but it is {found}.',
    'Send the model name as a JSON string.',
  ),
  model_duplicate: entry(
    400,
    'invalid_request_error',
    'client',
    false,
    'The body names `{key}` more than once.',
    'Send each key once: different parsers would pick different values.',
  ),
  model_unnamed: entry(
    400,
    'invalid_request_error',
    'client',
    false,
    'The request must name its model in the path (/engines/MODEL/...), in `?model=` or in the header X-Model.',
    'Name the model in one of these places.',
  ),
  request_malformed: entry(
    400,
    'invalid_request_error',
    'client',
    false,
    'The request is malformed: {detail}.',
    'Correct the request as the message says.',
  ),
  request_ambiguous: entry(
    400,
    'invalid_request_error',
    'client',
    false,
    'The request can be read in two ways: {detail}.',
    'Send each of these headers once.',
  ),
  headers_too_large: entry(
    431,
    'invalid_request_error',
    'client',
    false,
    'The request headers are larger than the limit.',
    'Send fewer or shorter headers.',
  ),
  headers_timeout: entry(
    408,
    'invalid_request_error',
    'client',
    true,
    'The request headers did not arrive within {seconds} s.',
    'Send the headers sooner, or raise `server.headers_timeout`.',
  ),
  upgrade_unsupported: entry(
    501,
    'invalid_request_error',
    'client',
    false,
    'A change of protocol to {protocol} is not supported.',
    'Send a plain HTTP request.',
  ),
  expectation_failed: entry(
    417,
    'invalid_request_error',
    'client',
    false,
    'The expectation `{expect}` cannot be met.',
    'Send no Expect header, or `100-continue`.',
  ),
  route_not_found: entry(
    404,
    'not_found_error',
    'client',
    false,
    'No route {method} {path}.',
    'See docs/routes.md, or use /engines/{model}/... for other paths.',
  ),
  route_forbidden: entry(
    403,
    'permission_error',
    'client',
    false,
    '{path} changes an engine and is not served here.',
    "Use the gateway's own commands.",
  ),
  method_not_allowed: entry(
    405,
    'invalid_request_error',
    'client',
    false,
    '{method} is not allowed on {path}; allowed: {allowed}.',
    'Use one of the allowed methods.',
  ),
  host_forbidden: entry(
    403,
    'permission_error',
    'client',
    false,
    'The host `{host}` is not served: without keys, a gateway on a loopback address answers to `localhost`, IP addresses and local names only.',
    'Ask for one of these hosts (a proxy in front: send it as `Host`), or configure `server.api_keys_file`.',
  ),
  page_forbidden: entry(
    403,
    'permission_error',
    'client',
    false,
    'A web page of {origin} may not use a gateway without keys.',
    'Ask from a page of the same host or from a program, or configure `server.api_keys_file`.',
  ),
  model_conflict: entry(
    400,
    'invalid_request_error',
    'client',
    false,
    'The path, query or header names the model `{model}`, but the body names `{other}`.',
    'Name the same model in both places, or only outside the body.',
  ),
  model_not_found: entry(
    404,
    'not_found_error',
    'client',
    false,
    'The model `{model}` does not exist.{hint}',
    'GET /v1/models lists the models.',
  ),
  poison_request: entry(
    502,
    'api_error',
    'client',
    false,
    'This request was alone in flight at {deaths} engine deaths and is refused for {minutes} minutes.',
    "Change the request, or look at the engine's log for the cause.",
  ),
  // Who asks.
  key_missing: entry(
    401,
    'authentication_error',
    'client',
    false,
    'An API key is required.',
    'Send `Authorization: Bearer KEY` or `x-api-key: KEY`.',
  ),
  key_invalid: entry(
    401,
    'authentication_error',
    'client',
    false,
    'The API key is not known.',
    'Check the key.',
  ),
  // Capacity.
  queue_full: entry(
    429,
    'rate_limit_error',
    'operator',
    true,
    'The queue of `{model}` is full: {depth} of {limit} requests wait.',
    'Retry later, or raise `queue_size` or `max_concurrent`.',
  ),
  queue_timeout: entry(
    503,
    'overloaded_error',
    'operator',
    true,
    '`{model}` could not serve the request within {seconds} s: {why}.',
    'Retry later, or raise `queue_timeout`.',
  ),
  wait_too_long: entry(
    503,
    'overloaded_error',
    'operator',
    true,
    "`{model}` is expected in {seconds} s, beyond the request's patience of {patience} s: {why}.",
    'Retry later, or wait longer.',
  ),
  model_never_fits: entry(
    503,
    'overloaded_error',
    'operator',
    false,
    '`{model}` can never be loaded here: {why}.',
    "Change the model's memory or the devices as the message says.",
  ),
  body_memory_full: entry(
    503,
    'overloaded_error',
    'operator',
    true,
    'The bodies of all requests together would take more than {limitMib} MiB.',
    'Retry later, or raise `server.body_memory_mib`.',
  ),
  web_sockets_full: entry(
    503,
    'overloaded_error',
    'operator',
    true,
    'The engine of `{model}` has {limit} WebSockets already.',
    'Retry later, and close WebSockets that are not used.',
  ),
  body_spool_full: entry(
    503,
    'overloaded_error',
    'operator',
    true,
    'The large bodies of all requests together would take more than {limitMib} MiB of disk.',
    'Retry later, or raise `server.body_spool_mib`.',
  ),
  body_not_stored: entry(
    507,
    'overloaded_error',
    'operator',
    true,
    'The body could not be written to a temporary file: {cause}.',
    'Retry later; give the temporary directory (`TMPDIR`) of the gateway room.',
  ),
  body_lost: entry(
    500,
    'api_error',
    'gateway',
    true,
    'The body could not be read back from its temporary file: {cause}.',
    'Retry; if it happens again, look at the disk of the temporary directory.',
  ),
  shutting_down: entry(
    503,
    'overloaded_error',
    'operator',
    true,
    'The gateway is shutting down.',
    'Retry: another instance or the restarted gateway will answer.',
  ),
  // Engines.
  start_failed: entry(
    503,
    'api_error',
    'engine',
    true,
    '`{model}` did not start: {cause}.',
    'The gateway tries again after a pause; the cause names what to change.',
  ),
  start_failed_for_good: entry(
    503,
    'api_error',
    'operator',
    false,
    '`{model}` cannot start: {cause}.',
    'Change the configuration as the cause says.',
  ),
  engine_failed: entry(
    503,
    'api_error',
    'engine',
    true,
    '`{model}` is out of service after {deaths} deaths in ten minutes: {cause}.',
    "Look at the engine's log; the gateway tries again when the window has passed.",
  ),
  engine_died: entry(
    502,
    'api_error',
    'engine',
    true,
    'The engine of `{model}` died while it handled the request: {cause}.',
    'Retry.',
  ),
  engine_died_twice: entry(
    502,
    'api_error',
    'engine',
    false,
    'The engine of `{model}` died twice with this request in flight: {cause}.',
    'Change the request: it probably kills the engine.',
  ),
  engine_unreachable: entry(
    502,
    'api_error',
    'engine',
    true,
    '`{model}` could not be reached: {cause}.',
    'Check the server behind `url`.',
  ),
  engine_bad_answer: entry(
    502,
    'api_error',
    'engine',
    true,
    'The engine of `{model}` sent a malformed answer: {cause}.',
    "Look at the engine's log.",
  ),
  engine_timeout: entry(
    504,
    'api_error',
    'engine',
    true,
    'The engine of `{model}` sent nothing within {seconds} s (`{setting}`).',
    "Raise the model's time limit of that name, or ask for less.",
  ),
  drain_cut: entry(
    503,
    'overloaded_error',
    'operator',
    true,
    'The request was ended after {seconds} s because other models wait for the devices of `{model}`.',
    'Retry, or raise `drain_timeout`.',
  ),
  background_timeout: entry(
    504,
    'api_error',
    'operator',
    false,
    'The background response `{id}` was cancelled, as it was not done within {seconds} s.',
    "Ask for less, or raise the model's `background_timeout`.",
  ),
  background_off: entry(
    400,
    'invalid_request_error',
    'client',
    false,
    'The engine of `{model}` keeps no responses, so that it makes none in the background.',
    'Leave out `background: true`, or set `responses_store: true` for the model.',
  ),
  response_not_found: entry(
    404,
    'not_found_error',
    'client',
    false,
    'The response `{id}` is not there: {reason}.',
    'Create it anew. Only models with `responses_store: true` keep responses, and no longer than their engine lives.',
  ),
  response_of_other_model: entry(
    400,
    'invalid_request_error',
    'client',
    false,
    'The response `{id}` was made by `{other}`, so that a request for `{model}` cannot go on from it.',
    'Send the request to the model that made the response, or leave out `previous_response_id`.',
  ),
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
