/** Trying again what may pass, with growing waits, as long as limits allow. */
import { setTimeout as sleep } from 'node:timers/promises';
import { FetchError, PassingError } from './fetch-error.ts';
import type { FetchLimits } from './fetch-limits.ts';

/** Asks up to `questionTriesMax` times. */
export async function tryAgain<T>(
  ask: () => Promise<T>,
  limits: FetchLimits,
  signal: AbortSignal,
): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof PassingError) || failures >= limits.questionTriesMax) throw error;
      await pauseAfter(error, failures, limits, signal);
    }
  }
}

/** Waits before the next try; throws where the hub asks for a longer wait than anybody should sit through. */
export async function pauseAfter(
  error: PassingError,
  failures: number,
  limits: FetchLimits,
  signal: AbortSignal,
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
  await sleep(Math.max(backoffMs, retryAfterMs ?? 0), undefined, { signal });
}
