/**
 * The original gateway's rule (TKontu/vllm_gateway): waiting models first come, first served; idle engines give way, least recently
 * used first, once they have been resident for GATEWAY_MIN_RESIDENT_SECONDS (90 by default). It does not sleep.
 * `lru-sleep`: the same without a minimum residence, which is of use only where loads are long, and victims sleep where
 * they can; sleepers leave when what they leave on the devices is needed as well.
 */
import { definePolicy } from '../../scheduler/define-policy.ts';
import type { PolicyDesk } from '../../scheduler/policy-desk.ts';
import type { ModelView } from '../../scheduler/policy-views.ts';
import { seatInOrder } from './make-room.ts';
import { sleepIfItCan } from './reload-cost.ts';

const MIN_RESIDENCE_MS = 90_000;
/** Sleepers go after all who are awake, least recently used first. */
const SLEEPER_RANK = Number.MAX_SAFE_INTEGER / 2;

export const lru = definePolicy('lru', () => ({
  review: (desk) => evictLeastRecent(desk, MIN_RESIDENCE_MS, () => 'stop'),
}));

export const lruSleep = definePolicy('lru-sleep', () => ({
  review: (desk) => evictLeastRecent(desk, 0, sleepIfItCan),
}));

function evictLeastRecent(
  desk: PolicyDesk,
  residenceMs: number,
  how: (engine: ModelView) => 'sleep' | 'stop',
): void {
  seatInOrder(desk, {
    mayGo: (engine) => engine.isIdle && (engine.awakeSinceMs ?? 0) + residenceMs <= desk.nowMs,
    rank: (engine) => engine.lastUseMs + (engine.phase === 'asleep' ? SLEEPER_RANK : 0),
    how,
    why: 'it is idle and was used longest ago',
  });
  if (desk.waiting.length === 0 || residenceMs === 0) return;
  for (const { awakeSinceMs } of desk.engines) {
    const fromMs = (awakeSinceMs ?? 0) + residenceMs;
    if (awakeSinceMs !== null && fromMs > desk.nowMs) desk.lookAgainAt(fromMs);
  }
}
