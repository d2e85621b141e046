/**
 * How far estimates are from what comes true: our policy on every trace, world, time scale and seed. Each line: of waits that
 * ended in a waking and of those that ended in a start, the median of |expected - waited| / waited, its bias, and how many.
 *
 *   npm run bench:estimates -- [--worlds FILE,…] [--traces FILE,…] [--scales 1,8,16] [--seeds 101-105] [--requests 4000]
 *
 * `--worlds` and `--traces` take files and directories; traces of a single model are skipped. Of each trace the first
 * `--requests` are run. `--json` prints all figures.
 */
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { createScheduler } from '../../src/scheduler/scheduler.ts';
import { type BroughtUpErrors, EstimateErrors } from '../../src/simulator/estimates/estimate-errors.ts';
import { loadWorld } from '../../src/simulator/load-world.ts';
import type { RequestSource } from '../../src/simulator/request-source.ts';
import { runSimulation } from '../../src/simulator/run-simulation.ts';
import { openTrace } from '../../src/simulator/trace-file.ts';

const SHARED = path.join(import.meta.dirname, '../../../shared');
const { values: options } = parseArgs({
  options: {
    worlds: { type: 'string', default: path.join(SHARED, 'worlds') },
    traces: { type: 'string', default: path.join(SHARED, 'traces') },
    scales: { type: 'string', default: '1,8,16' },
    seeds: { type: 'string', default: '101-105' },
    requests: { type: 'string', default: '4000' },
    json: { type: 'boolean', default: false },
  },
});

interface Cell {
  readonly world: string;
  readonly trace: string;
  readonly scale: number;
  readonly seed: number;
  readonly wake: BroughtUpErrors;
  readonly start: BroughtUpErrors;
}

const cells: Cell[] = [];
const all = new EstimateErrors();
for (const traceFile of files(options.traces, '.csv')) {
  const source = firstOf(openTrace(traceFile), Number(options.requests));
  if (source.models.length === 1) continue;
  for (const worldFile of files(options.worlds, '.json')) {
    for (const scale of options.scales.split(',').map(Number)) {
      for (const seed of seedsOf(options.seeds)) {
        const world = loadWorld(worldFile);
        const errors = new EstimateErrors(all);
        const scheduler = createScheduler();
        const run = { world, source, scheduler, seed, timeScale: scale, patienceMs: null };
        await runSimulation({ ...run, observers: [errors] });
        const trace = path.basename(traceFile, '.csv');
        const cell: Cell = { world: world.name, trace, scale, seed, ...errors.figures };
        cells.push(cell);
        if (!options.json) process.stdout.write(`${lineOf(cell)}\n`);
      }
    }
  }
}
process.stdout.write(
  options.json ? `${JSON.stringify({ cells, summary: summary() }, null, 1)}\n` : summaryText(),
);

function files(list: string, ending: string): readonly string[] {
  return list.split(',').flatMap((entry) =>
    statSync(entry).isDirectory()
      ? readdirSync(entry)
          .filter((name) => name.endsWith(ending))
          .sort()
          .map((name) => path.join(entry, name))
      : [entry],
  );
}

function seedsOf(text: string): readonly number[] {
  return text.split(',').flatMap((part) => {
    const [first = 0, last = first] = part.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

/** The same models, so that each has the costs that it has in the whole trace. */
function firstOf(source: RequestSource, count: number): RequestSource {
  return {
    models: source.models,
    open: () => {
      const stream = source.open();
      let left = count;
      return {
        next: () => {
          left -= 1;
          return left < 0 ? null : stream.next();
        },
        close: () => stream.close(),
      };
    },
  };
}

function lineOf({ world, trace, scale, seed, wake, start }: Cell): string {
  const name = `${world} ${trace} x${scale} seed ${seed}`;
  return `${name.padEnd(76)}  wakes ${figuresText(wake)}  starts ${figuresText(start)}`;
}

function figuresText({ count, unknown, median, bias, uncontended }: BroughtUpErrors): string {
  if (median === null || bias === null) return `${'-'.padStart(5)} (${count})`.padEnd(42);
  const alone = uncontended.median === null ? '' : `, alone ${percent(uncontended.median)}`;
  const more = unknown === 0 ? '' : `, ${unknown} unknown`;
  return `${percent(median).padStart(5)} (bias ${percent(bias)}${alone}, ${count}${more})`.padEnd(42);
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

/** Of all waits, and of cells, whatever waits in each: a trace of many requests counts no more than one of few. */
function summary() {
  const overCells = (kind: 'wake' | 'start') => {
    const known = cells.flatMap((cell) => cell[kind].median ?? []).sort((a, b) => a - b);
    return { cells: known.length, median: known[Math.floor((known.length - 1) / 2)] ?? null };
  };
  const { wake, start } = all.figures;
  return { wake: { ...wake, over: overCells('wake') }, start: { ...start, over: overCells('start') } };
}

function summaryText(): string {
  const found = summary();
  const lines = (['wake', 'start'] as const).map((kind) => {
    const { over } = found[kind];
    const median = over.median === null ? '-' : percent(over.median);
    return `${kind}s: ${figuresText(found[kind]).trim()}; median of ${over.cells} cells ${median}`;
  });
  return `\n${lines.join('\n')}\n`;
}
