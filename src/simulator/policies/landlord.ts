/**
 * Landlord, also known as GreedyDual-Size (Young 2002; FaasCache uses it): an engine has a credit per MiB, set at each use to the
 * line plus cost / size; the idle one with the least credit goes, and the line rises to its credit. The cost counts all who
 * wait during a reload of length L at rate lambda: L (1 + lambda L / 2), the aggregate delay of delayed hits. The rate is that of
 * a model's last absence: the requests that came, over its length. Victims sleep where they can; sleepers go last.
 */
import { definePolicy } from '../../scheduler/define-policy.ts';
import type { PolicyDesk } from '../../scheduler/policy-desk.ts';
import type { ModelView } from '../../scheduler/policy-views.ts';
import { seatInOrder } from './make-room.ts';
import { reloadMs, sleepIfItCan } from './reload-cost.ts';

/** Sleepers rank after all who are awake. */
const SLEEPER_RANK = Number.MAX_SAFE_INTEGER / 2;

interface Tenant {
  credit: number;
  /** The use that renewed it. */
  lastUseMs: number;
  /** Requests per millisecond. */
  rate: number;
}

export const landlord = definePolicy('landlord', () => {
  const tenants = new Map<string, Tenant>();
  let line = 0;

  const tenantOf = (model: ModelView): Tenant => {
    const known = tenants.get(model.name);
    if (known !== undefined) return known;
    const fresh = { credit: line, lastUseMs: Number.NEGATIVE_INFINITY, rate: 0 };
    tenants.set(model.name, fresh);
    return fresh;
  };

  const renew = (desk: PolicyDesk): void => {
    for (const model of desk.waiting) {
      const awayMs = Math.max(1_000, desk.nowMs - model.lastUseMs);
      tenantOf(model).rate = model.queueLength / awayMs;
    }
    for (const engine of desk.engines) {
      const tenant = tenantOf(engine);
      if (engine.phase !== 'awake' || tenant.lastUseMs === engine.lastUseMs) continue;
      tenant.lastUseMs = engine.lastUseMs;
      const lengthMs = reloadMs(engine);
      const costMs = lengthMs * (1 + (tenant.rate * lengthMs) / 2);
      tenant.credit = line + costMs / Math.max(1, engine.heldMib * engine.deviceCount);
    }
  };

  return {
    review(desk) {
      renew(desk);
      seatInOrder(desk, {
        mayGo: (engine) => engine.isIdle,
        rank: (engine) =>
          engine.phase === 'asleep' ? SLEEPER_RANK + engine.lastUseMs : tenantOf(engine).credit,
        how: sleepIfItCan,
        went: (engine) => {
          if (engine.phase === 'awake') line = Math.max(line, tenantOf(engine).credit);
        },
        why: 'it is idle and has the least credit',
      });
    },
  };
});
