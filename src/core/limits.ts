/**
 * Limits that are not configuration: each guards a wait, a queue, a buffer or a retry.
 * What a user may want to change stands in the configuration schema instead.
 */

/** Resends of one request in its whole life, after it may have reached an engine. */
export const RESENDS_MAX = 1;
/** Times that a request is queued again after it was cut before its first byte: one that takes longer than its turns never ends. */
export const CUTS_MAX = 1;
/** Deaths of an engine with the same request alone in flight before that request is refused as poison. */
export const LONE_DEATHS_MAX = 2;
/** How long a poison request's fingerprint is refused. */
export const POISON_REFUSAL_MS = 10 * 60_000;
/** Poison fingerprints remembered at once; the oldest is forgotten first. */
export const POISON_FINGERPRINTS_MAX = 1000;
/** After a fetch that only a person can mend, requests are refused for so long before it is tried again. */
export const FETCH_REFUSED_MS = 30_000;

/** Engine deaths within `DEATH_WINDOW_MS` that turn a model to `failed`. */
export const DEATHS_MAX = 3;
export const DEATH_WINDOW_MS = 10 * 60_000;
/** First wait after a failed start; doubles with each failure in the window. */
export const START_BACKOFF_MS = 2_000;
export const START_BACKOFF_MAX_MS = 5 * 60_000;
/** Retry-After in seconds as sent to clients: official SDKs sleep it silently, so it stays short. */
export const RETRY_AFTER_MIN_S = 1;
export const RETRY_AFTER_MAX_S = 60;
/** A load whose last waiter left keeps its room this long at most, so that a client's retry finds it. */
export const ABANDONED_LOAD_KEEP_MS = 60_000;
/** Give-backs of one request that reached no socket; then its engine counts as unreachable. */
export const UNSENT_TRIES_MAX = 10;
/** Connections of an engine's pool beyond its concurrency: control calls and sockets that are closing. */
export const POOL_SPARE_CONNECTIONS = 4;
/** Connections of another protocol (WebSockets) to one engine; those at rest hold no slot, but memory and a file each. */
export const UPGRADED_CONNECTIONS_MAX = 1_024;
/** Log lines kept in memory per engine for diagnosis. */
export const LOG_TAIL_LINES = 200;
/** One log line's length; the rest of a longer one is dropped. */
export const LOG_LINE_CHARS_MAX = 4096;
/** Linux's sun_path is 108 bytes with the closing NUL. */
export const SOCKET_PATH_BYTES_MAX = 107;
