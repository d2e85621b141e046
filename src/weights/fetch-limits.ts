/** Limits of fetching: every wait, retry and buffer has one here. Tests shorten the waits. */

export interface FetchLimits {
  /** Files fetched at once, over all repositories. */
  readonly filesAtOnceMax: number;
  /** Of one repository. */
  readonly filesOfRepositoryMax: number;
  /** Further ones, each the only file of its repository, so that large repositories do not keep small ones waiting. */
  readonly filesBesideMax: number;
  /** Tries of one file in a row that bring less than `progressBytesMin`. */
  readonly fruitlessTriesMax: number;
  /** Bytes that make a try count as progress, so that a hub that drips is given up on. */
  readonly progressBytesMin: number;
  /** Times that a whole file may come with a wrong content before it is given up. */
  readonly corruptionsMax: number;
  /** Tries of one question to the hub (commit, list of files, small files). */
  readonly questionTriesMax: number;
  /** First wait before a try after a failure; doubles. */
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  /** A longer `Retry-After` is not waited for: the fetch fails and says it. Hugging Face counts requests over five minutes. */
  readonly retryAfterMaxMs: number;
  readonly connectTimeoutMs: number;
  /** Longest silence before the head of an answer and between bytes. */
  readonly stallTimeoutMs: number;
  /** Bytes that stay free on the disk. */
  readonly diskReserveBytes: number;
  /** Between two calls of `onProgress`. */
  readonly progressEveryMs: number;
}

export const FETCH_LIMITS: FetchLimits = {
  filesAtOnceMax: 8,
  filesOfRepositoryMax: 4,
  filesBesideMax: 24,
  fruitlessTriesMax: 6,
  progressBytesMin: 1024 * 1024,
  corruptionsMax: 2,
  questionTriesMax: 5,
  backoffMs: 500,
  backoffMaxMs: 30_000,
  retryAfterMaxMs: 5 * 60_000,
  connectTimeoutMs: 15_000,
  stallTimeoutMs: 60_000,
  diskReserveBytes: 1024 ** 3,
  progressEveryMs: 250,
};

/** Redirects followed for one file: hub, store, mirror of the store. */
export const REDIRECTS_MAX = 6;
/** Answers of the hub's API and small files that are read whole. */
export const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
