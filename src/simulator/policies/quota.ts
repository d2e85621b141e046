/**
 * Round robin with a quota, after Aegaeon (SOSP 2025): models take turns, who had its last turn longest ago is next, and all
 * of a model's requests are served together in its turn. A turn lasts as long as it has work, at most its quota while
 * others wait. Aegaeon's quotas are of tokens, so that none falls below its reading speed; the steps of an engine are not
 * ours to give, so here it is time: four times what bringing the model up and away takes, so that moves take a
 * fifth, and at least 20 s.
 * Whoever is next holds the devices on which turns end soonest: else small models would go on past a large one. Victims
 * sleep where they can.
 */
import { definePolicy } from '../../scheduler/define-policy.ts';
import type { PolicyDesk } from '../../scheduler/policy-desk.ts';
import type { ModelView, PolicyDevice } from '../../scheduler/policy-views.ts';
import { type Eviction, makeRoom } from './make-room.ts';
import { reloadMs, sleepIfItCan } from './reload-cost.ts';

const QUOTA_PER_RELOAD = 4;
/** A turn in which hardly a request ends is of no use to anybody. */
const QUOTA_MIN_MS = 20_000;
/** Who is idle goes before all whose quota has passed, and sleepers go last. */
const BUSY_RANK = Number.MAX_SAFE_INTEGER / 4;
const SLEEPER_RANK = Number.MAX_SAFE_INTEGER / 2;

export const quota = definePolicy('quota', () => {
  const lastTurnMs = new Map<string, number>();
  const lastTurnOf = (model: ModelView): number => lastTurnMs.get(model.name) ?? Number.NEGATIVE_INFINITY;
  const quotaEndMs = (engine: ModelView): number =>
    (engine.awakeSinceMs ?? 0) + Math.max(QUOTA_MIN_MS, QUOTA_PER_RELOAD * reloadMs(engine));

  return {
    review(desk) {
      for (const engine of desk.engines)
        if (engine.awakeSinceMs !== null) lastTurnMs.set(engine.name, engine.awakeSinceMs);
      const eviction: Eviction = {
        // Sleepers also while requests wait for them: they would else keep a large model out for ever.
        mayGo: (engine) =>
          engine.isIdle ||
          (engine.phase === 'asleep' ? engine.inFlight === 0 : quotaEndMs(engine) <= desk.nowMs),
        rank: (engine) =>
          engine.lastUseMs + (engine.phase === 'asleep' ? SLEEPER_RANK : engine.isIdle ? 0 : BUSY_RANK),
        how: sleepIfItCan,
        why: 'it is idle or its quota has passed',
      };
      const { waiting } = desk;
      const inTurn = [...waiting].sort((a, b) => compare(lastTurnOf(a), lastTurnOf(b)));
      let isFirst = true;
      for (const model of inTurn) {
        const isSeated = makeRoom(desk, model, eviction);
        if (!isSeated && isFirst) holdSoonest(desk, model, quotaEndMs);
        isFirst &&= isSeated;
      }
      if (waiting.length === 0) return;
      for (const engine of desk.engines) {
        const endMs = quotaEndMs(engine);
        if (engine.phase === 'awake' && endMs > desk.nowMs) desk.lookAgainAt(endMs);
      }
    },
  };
});

/** Those devices on which the last of the turns ends first. */
function holdSoonest(desk: PolicyDesk, model: ModelView, endMs: (engine: ModelView) => number): void {
  if (model.isLight || !desk.isWaiting(model)) return;
  const ends = desk.devices
    .filter((device) => device.heldFor === null && mayUse(model, device))
    .map(({ id, engines }) => ({ id, endMs: Math.max(0, ...engines.map(endMs)) }))
    .sort((a, b) => compare(a.endMs, b.endMs));
  const deviceIds = ends.slice(0, model.deviceCount).map(({ id }) => id);
  if (deviceIds.length === model.deviceCount) desk.hold(model, deviceIds);
}

function mayUse(model: ModelView, device: PolicyDevice): boolean {
  if (model.phase === 'asleep') return model.deviceIds.includes(device.id);
  const isOfPool = model.pool === null || model.pool === device.pool;
  return isOfPool && (model.memoryMib ?? 0) <= device.budgetMib;
}

function compare(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
