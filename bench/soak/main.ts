/**
 * A gateway under random clients of every kind for a long time, while its engines start, stop, sleep and wake. Three
 * books of the same requests must agree (ledger.ts), everything that counts must come back to zero, and memory must be
 * flat. Exits with 1 when something does not hold, and says the seed.
 *
 *   npm run soak [-- --minutes 30] [--clients 32] [--seed S] [--plot FILE.svg]
 */
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Entry } from './ask.ts';
import { soakChart } from './chart.ts';
import type { Sample } from './samples.ts';
import { type SoakResult, soak } from './soak-run.ts';
import { lineThrough, lowest } from './trend.ts';

/** A shorter soak is over before caches and the compiler's code have grown to their size. */
const JUDGED_FROM_MINUTES = 5;
/** Share of the time that these get. */
const WARM_UP_SHARE = 0.3;
const RESIDENT_GROWTH_MIB_MAX = 48;
const HEAP_GROWTH_MIB_MAX = 16;
/** Samples among which a heap has surely been collected once. */
const HEAP_GROUP = 8;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    clients: { type: 'string', default: '32' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    plot: { type: 'string' },
  },
});
const seed = Number(values.seed);
const minutes = Number(values.minutes);

function endingsTable(entries: readonly Entry[]): readonly string[] {
  const kinds = new Map<string, Map<string, number>>();
  for (const { kind, ending } of entries) {
    const counts = kinds.get(kind) ?? new Map<string, number>();
    kinds.set(kind, counts);
    const name = ending.kind === 'error' ? `${ending.status} ${ending.code}` : ending.kind;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...kinds].map(([kind, counts]) => {
    const told = [...counts].sort(([, a], [, b]) => b - a).map(([name, count]) => `${count} ${name}`);
    return `  ${kind}: ${told.join(', ')}`;
  });
}

interface Growth {
  readonly what: string;
  readonly perHourMib: number;
  /** Over the time that is judged. */
  readonly mib: number;
  readonly limitMib: number;
}

function growths(samples: readonly Sample[]): readonly Growth[] {
  const endS = samples.at(-1)?.seconds ?? 0;
  const settled = samples.filter(({ seconds }) => seconds >= endS * WARM_UP_SHARE);
  const resident = settled.map(({ seconds, residentMib }) => ({ x: seconds, y: residentMib }));
  const heap = settled.map(({ seconds, heapMib }) => ({ x: seconds, y: heapMib }));
  const told = [
    { what: 'resident memory', line: lineThrough(resident), limitMib: RESIDENT_GROWTH_MIB_MAX },
    { what: 'lowest heap', line: lineThrough(lowest(heap, HEAP_GROUP)), limitMib: HEAP_GROWTH_MIB_MAX },
  ];
  return told.map(({ what, line, limitMib }) => {
    const slope = line?.slope ?? 0;
    return { what, perHourMib: slope * 3_600, mib: slope * endS * (1 - WARM_UP_SHARE), limitMib };
  });
}

function report(result: SoakResult, grown: readonly Growth[]): void {
  const { entries, rows, engineLines, moves, samples } = result;
  const most = (figure: (sample: Sample) => number): string => Math.max(...samples.map(figure)).toFixed(0);
  console.log(
    `${entries.length} requests; ${rows} rows in the gateway's book, ${engineLines} lines in the engines'`,
  );
  for (const line of endingsTable(entries)) console.log(line);
  console.log(
    `moves: ${Object.entries(moves)
      .map(([name, count]) => `${count} ${name}`)
      .join(', ')}`,
  );
  console.log(
    `most: ${most(({ residentMib }) => residentMib)} MiB resident, ${most(({ heapMib }) => heapMib)} MiB heap, ${most(({ openFiles }) => openFiles)} open files`,
  );
  for (const { what, perHourMib, mib } of grown)
    console.log(
      `${what}: ${mib.toFixed(1)} MiB more by the linear fit, ${perHourMib.toFixed(1)} MiB an hour`,
    );
}

console.log(`soak of ${minutes} minutes, seed ${seed}`);
const result = await soak({ minutes, clients: Number(values.clients), seed });
const grown = growths(result.samples);
report(result, grown);
const plot = values.plot ?? join(tmpdir(), `soak-${seed}.svg`);
await writeFile(plot, soakChart(result.samples));
console.log(`plot: ${plot}`);
const moveless = Object.entries(result.moves).filter(([, count]) => count === 0);
const faults = [
  ...result.faults,
  ...moveless.map(([name]) => `no ${name} has happened`),
  ...(minutes < JUDGED_FROM_MINUTES ? [] : grown)
    .filter(({ mib, limitMib }) => mib > limitMib)
    .map(({ what, mib, limitMib }) => `${what} has grown by ${mib.toFixed(1)} MiB, more than ${limitMib}`),
];
for (const fault of faults) console.log(`FAULT ${fault}`);
console.log(faults.length === 0 ? 'nothing was lost' : `${faults.length} faults; seed ${seed}`);
process.exitCode = faults.length === 0 ? 0 : 1;
