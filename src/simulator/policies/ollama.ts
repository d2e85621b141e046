/**
 * Ollama's scheduler (server/sched.go): a loaded model's requests pass at once; all others wait in one line whose head blocks the
 * rest until its model runs, so that one model loads at a time, whatever the devices. At most 3 models a device in all.
 * Where there is no room, one victim after the other is unloaded: an idle one with the shortest keep-alive setting, ties by
 * path. All have the default of 5 minutes here, after which idle models leave anyway: so it is the idle one whose name is
 * first, wherever it is and whether or not that makes room. Where none is idle, the first by name is waited for, and no
 * other, while its own requests go on passing to it.
 */
import { definePolicy } from '../../scheduler/define-policy.ts';
import type { PolicyDesk } from '../../scheduler/policy-desk.ts';
import type { ModelView } from '../../scheduler/policy-views.ts';

const KEEP_ALIVE_MS = 300_000;
const MODELS_PER_DEVICE = 3;

export const ollama = definePolicy('ollama', () => {
  let awaited: string | null = null;
  return {
    review(desk) {
      const { engines } = desk;
      const awake = engines.filter(({ phase }) => phase === 'awake');
      for (const engine of awake) expire(desk, engine);
      const [head] = desk.waiting;
      // The head's load, or the unloading of its victim, goes on.
      if (head === undefined || engines.some(isOnItsWay)) return;
      const hasPlace = engines.length < MODELS_PER_DEVICE * desk.devices.length;
      const deviceIds = hasPlace ? desk.roomFor(head) : null;
      if (deviceIds !== null) {
        desk.bringUp(head, deviceIds);
        return;
      }
      if (head.isLight) return;
      const candidates = awake.filter((engine) => desk.mayGoFromMs(engine) <= desk.nowMs).sort(byName);
      const victim =
        candidates.find(({ name }) => name === awaited) ??
        candidates.find(({ inFlight }) => inFlight === 0) ??
        candidates[0];
      awaited = victim?.name ?? null;
      if (victim?.inFlight !== 0) return;
      awaited = null;
      desk.putAway(victim, 'stop', `${head.name} waits for room, and it was its victim`);
    },
  };
});

function isOnItsWay({ phase }: ModelView): boolean {
  return phase !== 'awake' && phase !== 'asleep';
}

function expire(desk: PolicyDesk, engine: ModelView): void {
  const atMs = (engine.isIdle ? engine.lastUseMs : desk.nowMs) + KEEP_ALIVE_MS;
  if (atMs > desk.nowMs) desk.lookAgainAt(atMs);
  else if (desk.mayGoFromMs(engine) <= desk.nowMs) desk.putAway(engine, 'stop', 'its keep-alive has passed');
}

function byName(a: ModelView, b: ModelView): number {
  return a.name < b.name ? -1 : 1;
}
