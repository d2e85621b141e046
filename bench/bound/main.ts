/**
 * Lower bounds of the given worlds and traces at several time scales, and how long they take.
 *
 *   npm run bench:bound -- --worlds DIR --traces DIR [--only TEXT] [--scales 1,4,16,64] [--seed 1] [--budget 45]
 *
 * `DIR`s hold world and trace files (docs/simulate.md). `--only`: worlds and traces whose joint name contains the text. `--budget`:
 * seconds for each.
 */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { computeBound } from '../../src/simulator/bound/bound.ts';
import { loadWorld } from '../../src/simulator/load-world.ts';
import { openTrace } from '../../src/simulator/trace-file.ts';

const { values } = parseArgs({
  options: {
    worlds: { type: 'string' },
    traces: { type: 'string' },
    only: { type: 'string', default: '' },
    scales: { type: 'string', default: '1,4,16,64' },
    seed: { type: 'string', default: '1' },
    budget: { type: 'string', default: '45' },
  },
});
const { worlds, traces, only } = values;
if (worlds === undefined || traces === undefined) throw new Error('--worlds and --traces name folders');

const COLUMNS = [
  'demand',
  'clairv.',
  'min st.',
  'alone',
  'cold 1st',
  'memory',
  'packing',
  'movers',
  'host',
  'CPU s',
];
const head = 'world trace scale'.padEnd(52);
process.stdout.write(`${head}${COLUMNS.map((name) => name.padStart(9)).join('')}\n`);
for (const worldFile of filesIn(worlds, '.json')) {
  for (const traceFile of filesIn(traces, '.csv')) {
    const name = `${path.basename(worldFile, '.json')} ${path.basename(traceFile).replace(/\..*$/, '')}`;
    if (name.includes(only))
      for (const scale of values.scales.split(',')) row(name, worldFile, traceFile, Number(scale));
  }
}

function filesIn(folder: string, ending: string): readonly string[] {
  const names = readdirSync(folder).filter((name) => name.endsWith(ending));
  return names.sort().map((name) => path.join(folder, name));
}

function row(name: string, worldFile: string, traceFile: string, timeScale: number): void {
  const before = process.cpuUsage();
  const bound = computeBound({
    world: loadWorld(worldFile),
    source: openTrace(traceFile),
    timeScale,
    seed: Number(values.seed),
    budgetMs: Number(values.budget) * 1000,
  });
  const { user } = process.cpuUsage(before);
  const { memory, packing, movers, host } = bound.elasticity;
  const cells = [
    bound.demand_s,
    bound.clairvoyant_s,
    bound.demand_min_start_s,
    bound.alone_s,
    bound.first_cold_s,
  ];
  const figures = [...cells, memory, packing, movers, host].map((value) => value.toFixed(2));
  const open = bound.converged ? '' : '  not settled';
  const text = [...figures, (user / 1e6).toFixed(0)].map((figure) => figure.padStart(9)).join('');
  process.stdout.write(`${`${name} x${timeScale}`.padEnd(52)}${text}${open}\n`);
}
