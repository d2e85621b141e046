/** What `simulate` prints for people. */
import type { Bound } from '../simulator/bound/bound.ts';
import type { RunFigures, WaitFigures } from '../simulator/statistics/run-figures.ts';
import { columns, duration, wrapped } from './text-layout.ts';

const MS_PER_H = 3_600_000;

/** One run, as JSON prints it. */
export interface SimulationReport extends RunFigures {
  readonly world: string;
  readonly trace: string;
  readonly models: number;
  readonly policy: string;
  readonly seed: number;
  readonly time_scale: number;
  readonly patience_s: number | null;
  readonly decisions_per_second: number;
  readonly wall_s: number;
  /** With `--bound`: what no schedule can beat, and mean `not_ready` over `demand_s`; null where that is 0. */
  readonly bound?: Bound & { readonly ratio: number | null };
}

export function simulateText(reports: readonly SimulationReport[]): string {
  const [first] = reports;
  if (first === undefined) return 'No policy was named.';
  const body = reports.length === 1 ? oneRun(first) : comparison(reports, first);
  return [...headLines(first), '', ...body, ...boundLines(reports), ...violationLines(reports)].join('\n');
}

/** What stands above the picture of a run. */
export function pictureLines(report: SimulationReport): { title: string; subtitles: readonly string[] } {
  const { wait_s, not_ready_s, slow, policy, move_time_share, drain_time_share } = report;
  const [first = '', ...others] = headLines(report);
  return {
    title: `${policy}: requests waited ${waitText(not_ready_s.mean)} s on average for engines`,
    subtitles: [
      `${first}; ${others.join(' ')}; ${hoursText(report)}`,
      `wait mean ${waitText(wait_s.mean)} s, p50 ${waitText(wait_s.p50)} s, p95 ${waitText(wait_s.p95)} s, p99 ${waitText(wait_s.p99)} s, max ${waitText(wait_s.max)} s; over 10 s ${percent(slow.over_10_s)}, over 60 s ${percent(slow.over_60_s)}`,
      `${movesText(report.moves)}; ${percent(move_time_share)} of the device time in moves, ${percent(drain_time_share)} in drains`,
    ],
  };
}

function headLines(report: SimulationReport): readonly string[] {
  const { world, trace, requests, models, seed, time_scale, patience_s } = report;
  const scale = time_scale === 1 ? '' : `, time x ${time_scale}`;
  const patience = patience_s === null ? '' : `, patience ${patience_s} s`;
  return [
    ...wrapped('', `${world}, ${trace}`),
    `${grouped(requests)} requests for ${models} models, seed ${seed}${scale}${patience}`,
  ];
}

function oneRun(report: SimulationReport): readonly string[] {
  const { wait_s, not_ready_s, engine_full_s, slow, moves, fairness, worst_model } = report;
  const row = (name: string, { mean, p50, p95, p99, max }: WaitFigures) => [
    name,
    ...[mean, p50, p95, p99, max].map(waitText),
    '',
  ];
  const fairnessText = fairness === null ? 'the median model does not wait' : `${fairness} x the median`;
  const worst =
    worst_model === null ? '-' : `${worst_model}, ${waitText(report.worst_model_wait_s)} s (${fairnessText})`;
  return [
    ...columns([
      ['wait in seconds', 'mean', 'p50', 'p95', 'p99', 'max', ''],
      row('from arrival to dispatch', wait_s),
      row('of it: engine not ready', not_ready_s),
      row('of it: engine full', engine_full_s),
    ]),
    '',
    ...columns([
      ['policy', report.policy],
      ['waits over 10 s, 60 s', `${percent(slow.over_10_s)}, ${percent(slow.over_60_s)}`],
      ['queue', `${boundedText(report)} (quarters: ${report.quarters_wait_s.map(waitText).join(', ')} s)`],
      ['worst model on average', worst],
      ['moves', movesText(moves)],
      [
        'device time in moves, drains',
        `${percent(report.move_time_share)}, ${percent(report.drain_time_share)}`,
      ],
      [
        'served, left, refused',
        `${grouped(report.served)}, ${grouped(report.left)}, ${grouped(report.refused)}`,
      ],
      [
        'dispatched within 10 s, 60 s',
        `${percent(report.served_within_10_s)}, ${percent(report.served_within_60_s)}`,
      ],
      ['simulated', `${hoursText(report)} in ${report.wall_s} s`],
      ['decisions', decisionsText(report)],
    ]),
  ];
}

function comparison(reports: readonly SimulationReport[], first: SimulationReport): readonly string[] {
  const isPatient = first.patience_s === null;
  const tail = ['fairness', 'moves', 'moving', 'queue'];
  return [
    'Waits in seconds; `not ready` is the mean of what the policy can change.',
    ...columns([
      isPatient
        ? ['policy', 'not ready', 'wait', 'p50', 'p99', 'max', '> 60 s', ...tail]
        : ['policy', 'not ready', 'wait', 'p99', 'served', '<= 10 s', '<= 60 s', ...tail],
      ...reports.map((report) => comparisonRow(report, isPatient)),
    ]),
  ];
}

function comparisonRow(report: SimulationReport, isPatient: boolean): readonly string[] {
  const { policy, not_ready_s, wait_s, slow, moves, fairness } = report;
  const waits = isPatient ? [wait_s.mean, wait_s.p50, wait_s.p99, wait_s.max] : [wait_s.mean, wait_s.p99];
  const parts = isPatient
    ? [slow.over_60_s]
    : [report.served_share, report.served_within_10_s, report.served_within_60_s];
  return [
    policy,
    ...[not_ready_s.mean, ...waits].map(waitText),
    ...parts.map(percent),
    fairness === null ? '-' : fairness.toFixed(1),
    grouped(moves.start + moves.wake + moves.sleep + moves.stop),
    percent(report.move_time_share),
    boundedText(report),
  ];
}

function boundLines(reports: readonly SimulationReport[]): readonly string[] {
  const bound = reports[0]?.bound;
  if (bound === undefined) return [];
  const ratios = reports.map((report) => {
    const { ratio = null } = report.bound ?? {};
    return `${report.policy} ${ratio === null ? '-' : ratio.toFixed(ratio < 10 ? 2 : 0)}`;
  });
  const row = (name: string, seconds: number) => [name, waitText(seconds), ''];
  const open = bound.converged ? '' : ' The search had not settled: more time may raise it.';
  return [
    '',
    'No schedule makes requests wait less on average, in seconds:',
    ...columns([
      row('for engines that load on demand', bound.demand_s),
      row('the same with every start at its shortest', bound.demand_min_start_s),
      row('for engines that load before anyone asks', bound.clairvoyant_s),
      row('for slots, each model alone and always awake', bound.alone_s),
      row('in all, each model alone, started at its first request', bound.alone_cold_s),
    ]),
    ...wrapped('', `Mean wait for engines over the first of these: ${ratios.join(', ')}.${open}`),
  ];
}

function violationLines(reports: readonly SimulationReport[]): readonly string[] {
  return reports.flatMap(({ policy, violations, violation_texts }) =>
    violations === 0
      ? []
      : [
          '',
          `${policy}: ${grouped(violations)} ${violations === 1 ? 'violation' : 'violations'}`,
          ...violation_texts.map((text) => `  ${text}`),
        ],
  );
}

function movesText({ start, wake, sleep, stop }: RunFigures['moves']): string {
  const counts = [`${grouped(start)} starts`, `${grouped(wake)} wakings`];
  return [...counts, `${grouped(sleep)} sleeps`, `${grouped(stop)} stops`].join(', ');
}

function decisionsText({ decisions, decision_us, decisions_per_second }: SimulationReport): string {
  return `${grouped(decisions)}, ${decision_us.toFixed(1)} us each, ${grouped(decisions_per_second)} a second in all`;
}

function hoursText({ simulated_hours }: RunFigures): string {
  return duration(simulated_hours * MS_PER_H);
}

function boundedText({ queue_bounded }: RunFigures): string {
  return queue_bounded ? 'bounded' : 'grows';
}

function waitText(s: number): string {
  if (s >= 1000) return grouped(Math.round(s));
  return s >= 100 ? s.toFixed(0) : s.toFixed(s >= 10 ? 1 : 2);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
}

function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}
