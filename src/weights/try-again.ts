/** Trying again what may pass, with growing waits, as long as limits allow. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../telemetry/log.ts';
import { FetchError, PassingError } from './fetch-error.ts';
import type { FetchLimits } from './fetch-limits.ts';

export interface RetryOptions {
  readonly limits: FetchLimits;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** Shorter waits are nobody's concern. */
const TOLD_PAUSE_MS = 5_000;

/** Asks up to `questionTriesMax` times. */
export async function tryAgain<T>(ask: () => Promise<T>, options: RetryOptions): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof PassingError) || failures >= options.limits.questionTriesMax) throw error;
      await pauseAfter(error, failures, options);
    }
  }
}

/** Waits before the next try; throws where the hub asks for a longer wait than anybody should sit through. */
export async function pauseAfter(
  error: PassingError,
  failures: number,
  { limits, signal, log }: RetryOptions,
): Promise<void> {
  const { retryAfterMs } = error;
  if (retryAfterMs !== null && retryAfterMs > limits.retryAfterMaxMs)
    throw new FetchError(
      'repository_unreachable',
      `${error.message}, and asks to come back in ${Math.ceil(retryAfterMs / 1000)} s`,
      true,
    );
  const grown = Math.min(limits.backoffMaxMs, limits.backoffMs * 2 ** (failures - 1));
  // Spread, so that several files do not come back in the same moment.
  const backoffMs = grown * (0.75 + Math.random() / 4);
  const pauseMs = Math.max(backoffMs, retryAfterMs ?? 0);
  const level = pauseMs >= TOLD_PAUSE_MS ? 'warn' : 'debug';
  log(level, `${error.message}; the next try is in ${(pauseMs / 1000).toFixed(1)} s`);
  await sleep(pauseMs, undefined, { signal });
}
