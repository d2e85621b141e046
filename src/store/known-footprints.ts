/** The footprints that are stored, in memory: what is put is known at once, whatever the disk makes of it. Pure. */
import type { StoredFootprint } from './footprints.ts';

/** Bounds of the table's columns; SQLite checks the same. */
const MIB_MAX = 1e9;
const TOKENS_MAX = 1e15;
const DEVICES_MAX = 1024;
const SECONDS_MAX = 1e12;

export class KnownFootprints {
  readonly #perModelMax: number;
  readonly #max: number;
  /** Oldest first; of equal age the last one put is the newer one. */
  #footprints: readonly StoredFootprint[];

  /** `footprints` in the order of their age, the oldest first. */
  constructor(footprints: readonly StoredFootprint[], perModelMax: number, max: number) {
    this.#footprints = footprints;
    this.#perModelMax = perModelMax;
    this.#max = max;
  }

  /** By model, each one's from the oldest on. */
  all(): readonly StoredFootprint[] {
    return this.#footprints.toSorted((a, b) => (a.model < b.model ? -1 : a.model > b.model ? 1 : 0));
  }

  /** Replaces the one of the same model, signature and number of devices; the oldest beyond the limits go. */
  put(footprint: StoredFootprint): void {
    const { model, signature, deviceCount } = footprint;
    const others = this.#footprints.filter(
      (one) => one.model !== model || one.signature !== signature || one.deviceCount !== deviceCount,
    );
    const sorted = [...others, footprint].toSorted((a, b) => a.measuredAtS - b.measuredAtS);
    const surplus = sorted.filter((one) => one.model === model).slice(0, -this.#perModelMax);
    this.#footprints = sorted.filter((one) => !surplus.includes(one)).slice(-this.#max);
  }
}

/** What is wrong with its figures, in words; null: nothing. */
export function problemOf(footprint: StoredFootprint): string | null {
  const { deviceCount, usedMib, kvCacheMib, kvCacheTokens, weightsMib, residueMib } = footprint;
  const { hostAwakeMib, hostAsleepMib, measuredAtS } = footprint;
  const bounds: readonly (readonly [name: string, value: number | null, max: number])[] = [
    ['devices', deviceCount, DEVICES_MAX],
    ['memory', usedMib, MIB_MAX],
    ['cache', kvCacheMib, MIB_MAX],
    ['tokens', kvCacheTokens, TOKENS_MAX],
    ['weights', weightsMib, MIB_MAX],
    ['residue', residueMib, MIB_MAX],
    ['host memory awake', hostAwakeMib, MIB_MAX],
    ['host memory asleep', hostAsleepMib, MIB_MAX],
    ['time', measuredAtS, SECONDS_MAX],
  ];
  const isWhole =
    Number.isInteger(deviceCount) && (kvCacheTokens === null || Number.isInteger(kvCacheTokens));
  if (!isWhole) return 'a count is no whole number';
  const wrong = bounds.find(([, value, max]) => value !== null && !(value >= 0 && value <= max));
  return wrong === undefined ? null : `its ${wrong[0]} of ${wrong[1]} cannot be`;
}
