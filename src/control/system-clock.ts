import { performance } from 'node:perf_hooks';
import type { CancelTimer, Clock } from '../core/clock.ts';

/** Node fires earlier than asked beyond this (it holds delays in 32 bits): longer ones are armed in steps. */
const TIMER_DELAY_MAX_MS = 2 ** 31 - 1;

export function createSystemClock(): Clock {
  return {
    nowMs: () => performance.now(),
    wallMs: () => Date.now(),
    setTimer,
  };
}

function setTimer(atMs: number, fire: () => void): CancelTimer {
  let handle: NodeJS.Timeout;
  const arm = (): void => {
    const restMs = atMs - performance.now();
    // Rounded up: a timer that fires early would find nothing due.
    const delayMs = Math.max(0, Math.ceil(Math.min(restMs, TIMER_DELAY_MAX_MS)));
    handle = setTimeout(restMs > TIMER_DELAY_MAX_MS ? arm : fireWhenDue, delayMs);
  };
  const fireWhenDue = (): void => {
    if (performance.now() < atMs) arm();
    else fire();
  };
  arm();
  return () => clearTimeout(handle);
}
