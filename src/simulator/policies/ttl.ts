/**
 * Keep-alive rules of serverless platforms.
 * `ttl`: an engine that has been idle for 5 minutes stops. Earlier only if a model that waits needs its room, and then whoever
 * has been idle longest goes first (scheduling theory's LRU with an expiry; Prism and Ollama keep engines as long).
 * `ski-rental`: an engine pays rent while it is idle, for the memory that it holds; when it has paid what bringing it back
 * costs, it leaves, and until then it stays, whoever waits. So no more than twice the least possible is paid for each
 * pause. A whole device's memory costs one second a second: TTL = reload cost x device budget / memory held. It sleeps where
 * it can, and its reload is then a sleep and a waking.
 */
import { definePolicy } from '../../scheduler/define-policy.ts';
import type { PolicyDesk } from '../../scheduler/policy-desk.ts';
import type { ModelView } from '../../scheduler/policy-views.ts';
import { type Eviction, seatInOrder } from './make-room.ts';
import { reloadMs, sleepIfItCan } from './reload-cost.ts';

const TTL_MS = 300_000;

export const ttl = definePolicy('ttl', () => ({
  review(desk) {
    expire(
      desk,
      () => TTL_MS,
      () => 'stop',
    );
    seatInOrder(desk, {
      mayGo: (engine) => engine.isIdle,
      rank: (engine) => engine.lastUseMs,
      how: () => 'stop',
      why: 'it has been idle longest',
    });
  },
}));

export const skiRental = definePolicy('ski-rental', () => ({
  review(desk) {
    const budgetMib = Math.max(1, ...desk.devices.map((device) => device.budgetMib));
    const ttlMs = (engine: ModelView): number => (reloadMs(engine) * budgetMib) / Math.max(1, engine.heldMib);
    expire(desk, ttlMs, sleepIfItCan);
    seatInOrder(desk, {
      // Who is awake has not paid its rent yet; what sleepers leave on the devices is theirs for nothing.
      mayGo: (engine) => engine.isIdle && engine.phase === 'asleep',
      rank: (engine) => engine.lastUseMs,
      how: () => 'stop',
      why: 'it sleeps and has been idle longest',
    });
  },
}));

function expire(desk: PolicyDesk, ttlMs: (engine: ModelView) => number, how: Eviction['how']): void {
  for (const engine of desk.engines) {
    if (engine.phase !== 'awake') continue;
    const atMs = (engine.isIdle ? engine.lastUseMs : desk.nowMs) + ttlMs(engine);
    if (atMs > desk.nowMs) desk.lookAgainAt(atMs);
    else if (desk.mayGoFromMs(engine) <= desk.nowMs)
      desk.putAway(engine, how(engine), 'its time to live has passed');
  }
}
