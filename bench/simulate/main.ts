/**
 * The target table: every policy on every trace, world and time scale, one run after the other.
 *
 *   npm run bench:simulate -- [--worlds FILE,…] [--traces FILE,…] [--scales 1,8] [--policies NAME,…] [--patience 120]
 *                             [--seed 1] [--only TEXT] [--bound] [--out FILE] [--reuse FILE]
 *
 * `--worlds` and `--traces` take files and directories; traces of a single model are skipped in directories. `--only` runs
 * cells whose name (`world trace xSCALE`) contains the text. `--bound` reckons the lower bound of each cell anew, a minute each. `--out` keeps all figures as JSON, after each cell; `--reuse` takes
 * runs from such a file instead of running them again, unless `--policies` names their policy: so only ours is run anew.
 */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { createScheduler } from '../../src/scheduler/scheduler.ts';
import { computeBound } from '../../src/simulator/bound/bound.ts';
import { loadWorld } from '../../src/simulator/load-world.ts';
import { policyNamed, policyNames } from '../../src/simulator/policies/named-policies.ts';
import type { RequestSource } from '../../src/simulator/request-source.ts';
import { runSimulation } from '../../src/simulator/run-simulation.ts';
import { SimulationStatistics } from '../../src/simulator/statistics/simulation-statistics.ts';
import { openTrace } from '../../src/simulator/trace-file.ts';
import type { World } from '../../src/simulator/world.ts';
import { cellTable, targetTable } from './tables.ts';
import { type CellRun, type CellRuns, judged, OURS } from './targets.ts';

const SHARED = path.join(import.meta.dirname, '../../../shared');
const BOUND_BUDGET_MS = 45_000;
const { values: options } = parseArgs({
  options: {
    worlds: { type: 'string', default: path.join(SHARED, 'worlds') },
    traces: { type: 'string', default: path.join(SHARED, 'traces') },
    scales: { type: 'string', default: '1,8' },
    policies: { type: 'string' },
    patience: { type: 'string', default: '120' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    bound: { type: 'boolean', default: false },
    out: { type: 'string' },
    reuse: { type: 'string' },
  },
});

interface Work {
  readonly world: World;
  readonly trace: string;
  readonly source: RequestSource;
  readonly scale: number;
}

// Ours also has a name of its own, by which it would run twice.
const others = policyNames.filter((name) => policyNamed(name) !== policyNamed(OURS));
const policies = listed(options.policies ?? [OURS, ...others].join());
const patiences = [
  null,
  ...listed(options.patience)
    .map(Number)
    .filter((seconds) => seconds > 0),
];
const kept: readonly CellRuns[] =
  options.reuse !== undefined && existsSync(options.reuse)
    ? JSON.parse(readFileSync(options.reuse, 'utf8')).cells
    : [];
const cells: CellRuns[] = [];
for (const work of grid()) {
  const cell = await cellOf(work);
  cells.push(cell);
  process.stdout.write(`${cellTable(cell)}\n\n`);
  if (options.out !== undefined)
    writeFileSync(options.out, `${JSON.stringify({ targets: judgements(), cells }, null, 1)}\n`);
}
process.stdout.write(`${targetTable(judgements())}\n`);
if (cells.some(({ runs }) => runs.some(({ figures }) => figures.violations > 0))) process.exitCode = 1;

function judgements() {
  return cells.map(judged).filter((judgement) => judgement !== null);
}

function* grid(): Generator<Work> {
  const worlds = files(options.worlds, '.json').map(({ file }) => loadWorld(file));
  for (const { file, isListed } of files(options.traces, '.csv')) {
    const source = openTrace(file);
    if (!isListed && source.models.length === 1) continue;
    const trace = path.basename(file, '.csv');
    for (const world of worlds) {
      for (const scale of listed(options.scales).map(Number)) {
        if (`${world.name} ${trace} x${scale}`.includes(options.only)) yield { world, trace, source, scale };
      }
    }
  }
}

async function cellOf(work: Work): Promise<CellRuns> {
  const { world, trace, scale } = work;
  const before = kept.find(
    (cell) => cell.world === world.name && cell.trace === trace && cell.scale === scale,
  );
  const reused = (before?.runs ?? []).filter(({ policy }) => !policies.includes(policy));
  const runs: CellRun[] = [];
  for (const patienceS of patiences) {
    for (const policy of policies) runs.push(await runOf(work, policy, patienceS));
  }
  const boundS = options.bound ? boundOf(work) : (before?.boundS ?? null);
  return { world: world.name, trace, scale, boundS, runs: [...runs, ...reused] };
}

/** Loads on demand, first starts as drawn, later ones at their least: so it holds for every policy. */
function boundOf({ world, source, scale }: Work): number {
  const seed = Number(options.seed);
  return computeBound({ world, source, timeScale: scale, seed, budgetMs: BOUND_BUDGET_MS }).demand_s;
}

async function runOf(
  { world, source, scale }: Work,
  policy: string,
  patienceS: number | null,
): Promise<CellRun> {
  const known = policyNamed(policy);
  if (known === null) throw new Error(`there is no policy ${policy}; known are ${policyNames.join(', ')}`);
  const statistics = new SimulationStatistics(world.devices.length);
  const end = await runSimulation({
    world,
    source,
    scheduler: createScheduler(known),
    seed: Number(options.seed),
    timeScale: scale,
    patienceMs: patienceS === null ? null : 1000 * patienceS,
    observers: [statistics],
  });
  return { policy, patienceS, figures: statistics.figures(end) };
}

interface NamedFile {
  readonly file: string;
  /** Named by itself, not found in a directory. */
  readonly isListed: boolean;
}

function files(text: string, ending: string): readonly NamedFile[] {
  return listed(text).flatMap((name): readonly NamedFile[] =>
    statSync(name).isDirectory()
      ? readdirSync(name)
          .filter((file) => file.endsWith(ending))
          .map((file) => ({ file: path.join(name, file), isListed: false }))
      : [{ file: name, isListed: true }],
  );
}

function listed(text: string): readonly string[] {
  return text.split(',').filter((word) => word !== '');
}
