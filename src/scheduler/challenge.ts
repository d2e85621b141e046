/**
 * At its turn's end a busy engine serves on as long as that ends more waiting in the same device time than handing over would:
 * nobody gains by waiting for a model that was sent away with a long queue. Who is overdue (rank.ts) is not asked about.
 */
import { expectedDrainMs } from './drain-time.ts';
import { pressure, visitMs } from './rank.ts';
import type { ModelState } from './state.ts';
import { backlogMs, switchCostMs } from './turn.ts';

/** It is asked again after this at the latest: work comes in on both sides meanwhile. */
const STAY_MS_MAX = 60_000;

/** What a model that wants devices has to show. */
export interface Challenge {
  readonly pressure: number;
  readonly visitMs: number;
  readonly devices: number;
}

/** What a busy engine has to show against it. */
export interface Stand {
  readonly switchMs: number;
  readonly drainMs: number;
  readonly restMs: number;
  /** Waiting that it ends per device-millisecond. */
  readonly gain: number;
}

export function challengeOf(model: ModelState, nowMs: number): Challenge {
  return { pressure: pressure(model, nowMs), visitMs: visitMs(model), devices: devicesOf(model) };
}

/** Null: what runs is served before it goes in any case, and nothing else waits for it. */
export function standOf(model: ModelState, nowMs: number): Stand | null {
  if (model.queue.size === 0) return null;
  const restMs = Math.max(1, backlogMs(model));
  return {
    switchMs: switchCostMs(model),
    drainMs: expectedDrainMs(model, nowMs),
    restMs,
    gain: pressure(model, nowMs) / (restMs * devicesOf(model)),
  };
}

/** For how long the engine serves on although somebody wants its devices; 0: it does not. */
export function staysForMs(stand: Stand, challenge: Challenge): number {
  const handOverMs = challenge.visitMs + stand.switchMs + stand.drainMs;
  const gain = challenge.pressure / (handOverMs * challenge.devices);
  return gain < stand.gain ? Math.min(stand.restMs, STAY_MS_MAX) : 0;
}

function devicesOf({ need }: ModelState): number {
  return Math.max(1, need?.deviceCount ?? 1);
}
