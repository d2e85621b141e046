/**
 * What a launch was seen to take, and how that joins what was stored of earlier ones with the same signature.
 *  L1. The most that was seen counts: memory in use only grows while an engine serves.
 *  L2. Launches with caches of different sizes are compared by what they use beside the cache.
 *  L3. A figure of the driver's own replaces one that was found by the device's difference, or imported.
 */
import type { ModelName } from '../core/ids.ts';
import type { UseSource } from '../devices/device.ts';
import type { MemoryReport } from '../engines/engine.ts';
import type { StoredFootprint } from '../store/footprints.ts';

/** What is known of one running launch. */
export interface SeenLaunch {
  readonly model: ModelName;
  readonly signature: string;
  readonly deviceCount: number;
  /** The most on one device; null: not measured yet. */
  readonly use: { readonly mib: number; readonly source: UseSource } | null;
  readonly hostMib: number | null;
  /** What its own output says. */
  readonly report: MemoryReport;
  /** The cache that it was told to reserve; null: none; undefined: an earlier gateway has launched it. */
  readonly toldKvMib: number | null | undefined;
}

/** Changes below this are noise: allocators breathe. */
export const CHANGE_MIB = 64;

export function withUse(
  launch: SeenLaunch,
  usedMib: number,
  source: UseSource,
  hostMib: number | null,
): SeenLaunch {
  const { use } = launch;
  const isKept =
    use !== null && (rank(use.source) > rank(source) || (use.source === source && use.mib >= usedMib));
  return {
    ...launch,
    use: isKept ? use : { mib: usedMib, source },
    hostMib: hostMib === null ? launch.hostMib : Math.max(hostMib, launch.hostMib ?? 0),
  };
}

/** Each worker says the same of its own device: the largest counts. */
export function mergedReport(a: MemoryReport, b: MemoryReport): MemoryReport {
  return {
    ...largest('weightsMib', a, b),
    ...largest('kvCacheMib', a, b),
    ...largest('kvCacheTokens', a, b),
    ...largest('graphsMib', a, b),
  };
}

function largest(name: keyof MemoryReport, a: MemoryReport, b: MemoryReport): MemoryReport {
  const told = [a[name], b[name]].filter((figure) => figure !== undefined);
  return told.length === 0 ? {} : { [name]: Math.max(...told) };
}

/** What is to be stored now; null: nothing was measured yet. `stored`: of the same signature and number of devices. */
export function learnedFrom(
  launch: SeenLaunch,
  stored: StoredFootprint | null,
  nowS: number,
): StoredFootprint | null {
  const { use, report } = launch;
  if (use === null) return null;
  const isOther = stored !== null && rank(stored.source) < rank(use.source);
  const kvCacheMib = cacheOf(launch, stored, use.mib);
  const before = stored === null || isOther ? null : usedBefore(stored, kvCacheMib);
  const isSameCache = stored !== null && kvCacheMib !== null && stored.kvCacheMib === kvCacheMib;
  return {
    model: launch.model,
    signature: launch.signature,
    deviceCount: launch.deviceCount,
    usedMib: Math.max(use.mib, before ?? 0),
    source: stored !== null && before !== null && before > use.mib ? stored.source : use.source,
    kvCacheMib,
    kvCacheTokens: report.kvCacheTokens ?? (isSameCache ? stored.kvCacheTokens : null),
    weightsMib: report.weightsMib ?? stored?.weightsMib ?? null,
    residueMib: stored?.residueMib ?? null,
    hostAwakeMib: launch.hostMib ?? stored?.hostAwakeMib ?? null,
    hostAsleepMib: stored?.hostAsleepMib ?? null,
    measuredAtS: nowS,
  };
}

/** The engine's word, else what it was told; of an adopted launch what was stored. A cache as large as all use is none. */
function cacheOf(launch: SeenLaunch, stored: StoredFootprint | null, usedMib: number): number | null {
  const told = launch.toldKvMib === undefined ? (stored?.kvCacheMib ?? null) : launch.toldKvMib;
  const kvCacheMib = launch.report.kvCacheMib ?? told;
  return kvCacheMib !== null && kvCacheMib > 0 && kvCacheMib < usedMib ? kvCacheMib : null;
}

/** What the earlier launch would have used with a cache of `kvCacheMib`; null: not comparable. */
function usedBefore(stored: StoredFootprint, kvCacheMib: number | null): number | null {
  if (stored.kvCacheMib === null || kvCacheMib === null)
    return stored.kvCacheMib === kvCacheMib ? stored.usedMib : null;
  return stored.usedMib - stored.kvCacheMib + kvCacheMib;
}

export function worthStoring(before: StoredFootprint | null, after: StoredFootprint): boolean {
  if (before === null || before.source !== after.source) return true;
  const differs = (a: number | null, b: number | null) =>
    (a === null) !== (b === null) || Math.abs((a ?? 0) - (b ?? 0)) > CHANGE_MIB;
  return (
    differs(before.usedMib, after.usedMib) ||
    differs(before.kvCacheMib, after.kvCacheMib) ||
    differs(before.weightsMib, after.weightsMib) ||
    differs(before.residueMib, after.residueMib) ||
    differs(before.hostAwakeMib, after.hostAwakeMib) ||
    differs(before.hostAsleepMib, after.hostAsleepMib) ||
    (before.kvCacheTokens === null) !== (after.kvCacheTokens === null)
  );
}

function rank(source: StoredFootprint['source']): number {
  switch (source) {
    case 'per_process':
      return 2;
    case 'device_difference':
      return 1;
    case 'imported':
      return 0;
  }
}
