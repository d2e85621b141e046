/** `vllm-gateway simulate`: what a policy would do with a workload on a machine, without either (docs/simulate.md). */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { openChutes } from '../simulator/chutes-file.ts';
import { closedLoop } from '../simulator/clients/closed-loop.ts';
import { generatedRequests } from '../simulator/generators/generated-requests.ts';
import { fittedLengths, recordedLengths } from '../simulator/generators/lengths.ts';
import { InputFault, unwritable } from '../simulator/input-fault.ts';
import { loadWorld } from '../simulator/load-world.ts';
import { mergedSource } from '../simulator/merged-source.ts';
import { PictureRecorder } from '../simulator/picture/picture-recorder.ts';
import { pictureSvg } from '../simulator/picture/picture-svg.ts';
import type { RequestSource } from '../simulator/request-source.ts';
import { runSimulation } from '../simulator/run-simulation.ts';
import { SimulationStatistics } from '../simulator/statistics/simulation-statistics.ts';
import { openTrace } from '../simulator/trace-file.ts';
import type { World } from '../simulator/world.ts';
import type { TextWriter } from './check.ts';
import { assertBoundable, type BoundedRun, boundedReports } from './simulate-bound.ts';
import { type NamedPolicy, schedulerOf, simulatedPolicies } from './simulate-policies.ts';
import { pictureLines, type SimulationReport, simulateText } from './simulate-text.ts';

const MS_PER_S = 1000;

export interface SimulateFlags {
  readonly world: string;
  readonly trace?: string;
  readonly chutes?: string;
  readonly generate?: string;
  readonly closed?: readonly string[];
  /** A trace whose lengths are drawn for what is generated. */
  readonly lengths?: string;
  readonly policy: readonly string[];
  readonly seed: number;
  readonly timeScale: number;
  /** Seconds. */
  readonly patience?: number;
  readonly switchShare?: number;
  readonly json?: boolean;
  /** Tells what no schedule can beat, beside the figures. */
  readonly bound?: boolean;
  /** An SVG file; with several policies, one for each, its name before the dot. */
  readonly picture?: string;
}

/** The exit code: 0; 1 when something happened that must not; 2 for inputs that cannot be used. */
export async function runSimulate(flags: SimulateFlags, output: TextWriter): Promise<number> {
  let reports: readonly SimulationReport[];
  try {
    reports = await reportsOf(flags);
  } catch (error) {
    if (!(error instanceof InputFault)) throw error;
    output.write(`${error.message}\n`);
    return 2;
  }
  output.write(
    flags.json === true
      ? `${JSON.stringify(reports.length === 1 ? reports[0] : reports, null, 2)}\n`
      : `${simulateText(reports)}\n`,
  );
  return reports.some(({ violations }) => violations > 0) ? 1 : 0;
}

async function reportsOf(flags: SimulateFlags): Promise<readonly SimulationReport[]> {
  const { seed, timeScale, patience = null, closed = [], bound = false } = flags;
  if (bound) assertBoundable(patience, closed);
  const world = loadWorld(flags.world);
  const source = requestSource(flags);
  const runs: BoundedRun[] = [];
  for (const policy of await simulatedPolicies(flags.policy))
    runs.push(await simulated(flags, world, source, policy));
  if (bound) return boundedReports(runs, { world, source, timeScale, seed });
  return runs.map(({ report }) => report);
}

function requestSource(flags: SimulateFlags): RequestSource {
  const { trace, chutes, generate, closed = [], lengths, seed } = flags;
  const drawLengths = lengths === undefined ? fittedLengths : recordedLengths(lengths);
  const sources = [
    ...(trace === undefined ? [] : [openTrace(trace)]),
    ...(chutes === undefined ? [] : [openChutes(chutes)]),
    ...(generate === undefined ? [] : [generatedRequests(generate, seed, drawLengths)]),
    ...(closed.length === 0 ? [] : [closedLoop(closed.join(';'), seed, drawLengths)]),
  ];
  if (sources.length > 0) return mergedSource(sources);
  throw new InputFault({
    source: 'simulate',
    place: null,
    problem: 'nobody asks for anything',
    remedy: 'Give --trace, --generate, --closed or --chutes',
  });
}

async function simulated(
  flags: SimulateFlags,
  world: World,
  source: RequestSource,
  { name, policy }: NamedPolicy,
): Promise<BoundedRun> {
  const {
    trace,
    chutes,
    generate,
    closed = [],
    seed,
    timeScale,
    patience = null,
    switchShare,
    picture,
  } = flags;
  const statistics = new SimulationStatistics(world.devices.length);
  const recorder = picture === undefined ? null : new PictureRecorder(world, source.models);
  const beganMs = performance.now();
  const end = await runSimulation({
    world,
    source,
    scheduler: schedulerOf(policy, switchShare ?? null),
    seed,
    timeScale,
    patienceMs: patience === null ? null : patience * MS_PER_S,
    observers: recorder === null ? [statistics] : [statistics, recorder],
  });
  const wallS = (performance.now() - beganMs) / MS_PER_S;
  const inputs = [trace, chutes, generate, ...closed].filter((input) => input !== undefined);
  const report = {
    world: world.name,
    trace: inputs.join(' + '),
    models: source.models.length,
    policy: name,
    seed,
    time_scale: timeScale,
    patience_s: patience,
    ...statistics.figures(end),
    decisions_per_second: Math.round(end.decisions / wallS),
    wall_s: Number(wallS.toFixed(3)),
  };
  if (recorder !== null && picture !== undefined)
    writePicture(pictureFile(picture, name, flags.policy), recorder, report, end.endMs);
  return { report, statistics };
}

function writePicture(
  file: string,
  recorder: PictureRecorder,
  report: SimulationReport,
  endMs: number,
): void {
  const { title, subtitles } = pictureLines(report);
  try {
    writeFileSync(file, pictureSvg(recorder.picture(title, subtitles, endMs)));
  } catch (error) {
    throw unwritable(file, error);
  }
}

function pictureFile(file: string, policy: string, policies: readonly string[]): string {
  if (policies.length === 1 && policies[0] === policy) return file;
  const { dir, name, ext } = path.parse(file);
  return path.join(dir, `${name}-${path.parse(policy).name}${ext}`);
}
