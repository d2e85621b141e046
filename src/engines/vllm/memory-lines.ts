/**
 * What a starting vLLM says of its memory. Each worker of a model on several devices says it of its own device, in the
 * same words behind another prefix.
 */
import type { MemoryReport } from '../engine.ts';
import { readLine } from '../output-lines.ts';

const MIB_PER_GIB = 1024;

type Rule = readonly [pattern: RegExp, report: (figure: string) => MemoryReport];

/** Anchored at the start of the text, so that echoed arguments cannot match. */
const RULES: readonly Rule[] = [
  [/^Model loading took ([\d.]+) (?:GiB|GB)/, (gib) => ({ weightsMib: mibOf(gib) })],
  [/^Available KV cache memory: (-?[\d.]+) GiB/, (gib) => ({ kvCacheMib: mibOf(gib) })],
  // In the place of that where the size was given: on a device, and on the host.
  [
    /^Initial free memory [\d.]+ GiB, reserved ([\d.]+) GiB memory for KV Cache as specified/,
    (gib) => ({ kvCacheMib: mibOf(gib) }),
  ],
  [/^Explicitly set \(([\d.]+)\/[\d.]+\) GiB for KV cache/, (gib) => ({ kvCacheMib: mibOf(gib) })],
  [
    /^\w+ KV cache size: ([\d,]+) tokens/,
    (tokens) => ({ kvCacheTokens: Number(tokens.replaceAll(',', '')) }),
  ],
  [
    /^Graph capturing finished in \d+ secs?, took (-?[\d.]+) GiB/,
    (gib) => ({ graphsMib: Math.max(0, mibOf(gib)) }),
  ],
];

/** Null for a line that says nothing of memory. MiB are rounded: vLLM logs two decimals of a GiB. */
export function parseVllmMemory(line: string): MemoryReport | null {
  const text = readLine(line).text.trimStart();
  for (const [pattern, report] of RULES) {
    const figure = pattern.exec(text)?.[1];
    if (figure !== undefined) return report(figure);
  }
  return null;
}

function mibOf(gib: string): number {
  return Math.round(Number(gib) * MIB_PER_GIB);
}
