/**
 * A swap policy of one's own, as docs/policies.md walks through it:
 *   vllm-gateway simulate --world W.json --trace T.csv --policy ./examples/policies/most-waiting.ts
 * The model with the most waiting requests is next. Idle engines give way, whoever was used longest ago first, once they have
 * been awake for ten seconds; they sleep where they can.
 */
import { definePolicy } from '../../src/scheduler/define-policy.ts';
import type { PolicyDesk } from '../../src/scheduler/policy-desk.ts';
import type { ModelView } from '../../src/scheduler/policy-views.ts';

const RESIDENCE_MS = 10_000;

export const policy = definePolicy('most-waiting', () => ({
  review(desk) {
    const inOrder = [...desk.waiting].sort((a, b) => b.queueLength - a.queueLength);
    const unseated = inOrder.filter((model) => !bringUpWhereFree(desk, model));
    const next = unseated.find((model) => !model.isLight);
    // One at a time: what is on its way out may be enough.
    if (next === undefined || desk.engines.some(isLeaving)) return;
    const idle = desk.engines
      .filter((engine) => engine.isIdle && mayMakeRoomFor(desk, next, engine))
      .sort((a, b) => a.lastUseMs - b.lastUseMs);
    for (const engine of idle) {
      const fromMs = Math.max(desk.mayGoFromMs(engine), (engine.awakeSinceMs ?? 0) + RESIDENCE_MS);
      if (fromMs > desk.nowMs) {
        desk.lookAgainAt(fromMs);
        continue;
      }
      const how = engine.phase === 'awake' && engine.canSleep ? 'sleep' : 'stop';
      desk.putAway(engine, how, `${next.queueLength} requests wait for ${next.name}`);
      return;
    }
  },
}));

function bringUpWhereFree(desk: PolicyDesk, model: ModelView): boolean {
  const deviceIds = desk.roomFor(model);
  if (deviceIds === null) return false;
  desk.bringUp(model, deviceIds);
  return true;
}

/** Its memory goes, or is about to go, by a move that was ordered before. */
function isLeaving(engine: ModelView): boolean {
  return engine.staysMib < engine.heldMib;
}

/** It holds a device that the model could have. */
function mayMakeRoomFor(desk: PolicyDesk, model: ModelView, engine: ModelView): boolean {
  if (engine.name === model.name) return false;
  const possible = desk.devices.filter((device) =>
    model.phase === 'asleep'
      ? model.deviceIds.includes(device.id)
      : model.pool === null || device.pool === model.pool,
  );
  return possible.some((device) => engine.deviceIds.includes(device.id));
}
