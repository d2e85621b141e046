/** What vLLM's own figures say would have helped a launch. All sizes are of one device. Pure. */
import type { LaunchRemedy } from '../engine.ts';

const GIB = 1024 ** 3;
const MIB_PER_GIB = 1024;
/** vLLM rounds what it logs to hundredths of a GiB. */
const ROUNDING_GIB = 0.005;

export function gibOf(text: string | undefined): number {
  return Number(text ?? 0);
}

/** Sizes as torch writes them: `2.00 GiB`, `20.00 MiB`, `512 bytes`; 0 for none. */
export function torchGib(text: string | undefined): number {
  const [amount = '0', unit = 'GiB'] = (text ?? '').split(' ');
  const bytes = { GiB: GIB, MiB: 1024 ** 2, KiB: 1024, bytes: 1 }[unit] ?? GIB;
  return (Number(amount || 0) * bytes) / GIB;
}

/** At least 1 MiB: that it was too little is certain. */
export function shortOf(gib: number): LaunchRemedy {
  // A hair below the next MiB is the division's error, not memory.
  return { shortMib: Math.max(1, Math.ceil(gib * MIB_PER_GIB - 1e-6)) };
}

/** Both figures are rounded, so each is taken at its worse end. */
export function neededCache(neededGib: number, availableGib: number): LaunchRemedy {
  return {
    neededKvBytes: Math.ceil((neededGib + ROUNDING_GIB) * GIB),
    ...shortOf(neededGib - availableGib + 2 * ROUNDING_GIB),
  };
}

/** What was left for the KV cache on the device that had the least, as vLLM wrote it; null where it did not say. */
export function leastLeft(lines: readonly string[]): string | null {
  let least: string | null = null;
  for (const line of lines) {
    const left = /Available KV cache memory: (-?[\d.]+) GiB/.exec(line)?.[1];
    if (left !== undefined && (least === null || Number(left) < Number(least))) least = left;
  }
  return least;
}

/** Long names of flags in argparse's list of what it does not know; their values stand among them. */
export function refused(list: string | undefined): LaunchRemedy | null {
  const words = (list ?? '').split(/\s+/).filter((word) => /^--[a-z]/i.test(word));
  const names = words.map((word) => (word.split('=')[0] ?? word).replaceAll('_', '-'));
  return names.length === 0 ? null : { refusedFlags: [...new Set(names)] };
}
