/** How a request wishes to wait: the headers `X-Queue-Timeout` and `X-Progress`. Neither reaches an engine. */

import type { Refusal } from '../core/errors.ts';
import { clipped } from './clipped.ts';
import type { RequestHead } from './request-checks.ts';

/** What a stream is told while it waits. */
export type ProgressKind = 'off' | 'comments' | 'reasoning';

export interface WaitWishes {
  readonly kind: 'ok';
  /** Null: the model's `queue_timeout`. 0: only if it can be served at once. */
  readonly queueTimeoutMs: number | null;
  /** Null: the model's `progress`. */
  readonly progress: ProgressKind | null;
}

const NO_WISHES: WaitWishes = { kind: 'ok', queueTimeoutMs: null, progress: null };
/** Seconds without sign and exponent; longer ones say nothing more. */
const SECONDS = /^\d{1,12}(\.\d{1,12})?$/;
const PROGRESS_KINDS: readonly ProgressKind[] = ['off', 'comments', 'reasoning'];
/** What of a value an error repeats. */
const ECHO_CHARS_MAX = 40;

/** `timeoutMaxMs`: a longer wait than this is shortened to it. */
export function waitWishes(
  head: Pick<RequestHead, 'queueTimeout' | 'progress'>,
  timeoutMaxMs: number,
): WaitWishes | { readonly kind: 'fault'; readonly refusal: Refusal } {
  const { queueTimeout, progress } = head;
  if (queueTimeout === null && progress === null) return NO_WISHES;
  if (queueTimeout !== null && !SECONDS.test(queueTimeout))
    return fault('X-Queue-Timeout', 'a number of seconds such as 30 or 2.5', queueTimeout);
  const kind = progress === null ? null : progressKind(progress);
  if (kind === undefined) return fault('X-Progress', 'comments, reasoning or off', progress ?? '');
  return {
    kind: 'ok',
    queueTimeoutMs: queueTimeout === null ? null : Math.min(timeoutMaxMs, Number(queueTimeout) * 1000),
    progress: kind,
  };
}

function progressKind(text: string): ProgressKind | undefined {
  const lower = text.toLowerCase();
  return PROGRESS_KINDS.find((kind) => kind === lower);
}

function fault(
  header: string,
  expected: string,
  value: string,
): { readonly kind: 'fault'; readonly refusal: Refusal } {
  const shown = clipped(value, ECHO_CHARS_MAX);
  const detail = `the header ${header} must be ${expected}, but it is \`${shown}\``;
  return { kind: 'fault', refusal: { code: 'request_malformed', parameters: { detail } } };
}
