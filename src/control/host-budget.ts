/** How much of the host's memory our engines may use in all. Pure. */
import type { HostMemory } from '../devices/device.ts';

export interface HostBudgetInput {
  /**
   * Its `launches` decide what counts as foreign. Where more is known of a launch than its processes show (what its
   * sleep took of the host), the caller puts that in before.
   */
  readonly host: HostMemory;
  /** What the configuration allows them; null: whatever the rest leaves. */
  readonly limitMib: number | null;
  /** What stays free of everybody. */
  readonly floorMib: number;
}

/** min(limit, total - floor - (used - ours)), at least 0. Figures of one reading that contradict each other harm nothing. */
export function hostBudgetMib({ host, limitMib, floorMib }: HostBudgetInput): number {
  let oursMib = 0;
  for (const usedMib of host.launches.values()) oursMib += usedMib;
  // Pages that engines share count in each of them: then ours may exceed what is used at all.
  const foreignMib = Math.max(0, host.usedMib - oursMib);
  const leftMib = host.totalMib - floorMib - foreignMib;
  return Math.max(0, Math.min(limitMib ?? leftMib, leftMib));
}
