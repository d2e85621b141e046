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

/** For how long the engine serves on although `challenger` wants its devices; 0: it does not. */
export function staysForMs(resident: ModelState, challenger: ModelState, nowMs: number): number {
  // What runs is served before it goes in any case.
  if (resident.queue.size === 0) return 0;
  const handOverMs = visitMs(challenger) + switchCostMs(resident) + expectedDrainMs(resident, nowMs);
  const gain = pressure(challenger, nowMs) / (handOverMs * devicesOf(challenger));
  const restMs = Math.max(1, backlogMs(resident));
  const loss = pressure(resident, nowMs) / (restMs * devicesOf(resident));
  return gain < loss ? Math.min(restMs, STAY_MS_MAX) : 0;
}

function devicesOf({ need }: ModelState): number {
  return Math.max(1, need?.deviceCount ?? 1);
}
