/** The results of the grid as text. */
import { columns } from '../../src/cli/text-layout.ts';
import { type CellJudgement, type CellRuns, geometricMean } from './targets.ts';

/** All runs of a cell, one a row. */
export function cellTable({ world, trace, scale, runs, boundS }: CellRuns): string {
  const rows = runs.map(({ policy, patienceS, figures }) => [
    patienceS === null ? policy : `${policy}, ${patienceS} s`,
    ...[figures.not_ready_s.mean, figures.not_ready_s.p99, figures.wait_s.mean, figures.wait_s.max].map(
      figure,
    ),
    share(figures.served_share),
    share(figures.served_within_10_s),
    share(figures.served_within_60_s),
    figures.fairness === null ? '-' : figures.fairness.toFixed(1),
    share(figures.move_time_share),
    `${figures.queue_bounded ? 'bounded' : 'grows'}${figures.violations > 0 ? `, ${figures.violations} violations` : ''}`,
  ]);
  const bound = boundS === null ? [] : [`  bound on \`not ready\`, demand only: ${figure(boundS)} s`];
  const head = [
    'policy',
    'not ready',
    'p99',
    'wait',
    'max',
    'served',
    '<=10 s',
    '<=60 s',
    'fair',
    'moving',
    'queue',
  ];
  return [`${world}, ${trace}, time x ${scale}`, ...columns([head, ...rows]), ...bound].join('\n');
}

/** One row a cell, and what all of them come to. */
export function targetTable(cells: readonly CellJudgement[]): string {
  const rows = cells.map((cell) => [
    `${cell.world} ${cell.trace} x${cell.scale}`,
    cell.overloaded === true ? 'over' : 'fits',
    figure(cell.notReadyS),
    `${cell.peerRatio.toFixed(2)} ${cell.bestPeer}`,
    `${cell.worstRatio.toFixed(2)} ${cell.worstBaseline}`,
    cell.p99Ratio.toFixed(2),
    cell.fairnessRatio === null ? '-' : cell.fairnessRatio.toFixed(2),
    cell.servedAhead === null ? '-' : `${(100 * cell.servedAhead).toFixed(1)} %`,
    cell.boundRatio === null ? '-' : cell.boundRatio.toFixed(1),
  ]);
  const head = ['cell', 'load', 'not ready', 'best peer', 'best of all', 'p99', 'fair', 'served', 'bound'];
  return [
    'Ours over theirs: below 1 ours is better.',
    ...columns([head, ...rows]),
    '',
    ...summary(cells),
  ].join('\n');
}

function summary(cells: readonly CellJudgement[]): readonly string[] {
  if (cells.length === 0) return ['No cell has a run of ours and one of a peer.'];
  const mean = geometricMean(cells.map(({ peerRatio }) => peerRatio));
  const lost = cells.filter(({ worstRatio }) => worstRatio > 1);
  const worst = cells.reduce((most, cell) => (cell.worstRatio > most.worstRatio ? cell : most));
  const fitting = cells.filter(({ overloaded, boundRatio }) => overloaded === false && boundRatio !== null);
  const count = (isMet: (cell: CellJudgement) => boolean, of = cells) =>
    `${of.filter(isMet).length} of ${of.length}`;
  return [
    `mean \`not ready\` against the best peer, geometric: ${mean.toFixed(3)} (target: at most 0.4)`,
    `cells in which some other policy waits less: ${lost.length} of ${cells.length} (target: 0); worst ${worst.worstRatio.toFixed(2)} x ${worst.worstBaseline}`,
    `cells that fit, within 3 x the bound: ${count(({ boundRatio }) => (boundRatio ?? 0) <= 3, fitting)}`,
    `p99 no worse than the best peer's: ${count(({ p99Ratio }) => p99Ratio <= 1)}; fairness: ${count(({ fairnessRatio }) => (fairnessRatio ?? 0) <= 1)}`,
    `more served in time than by any peer: ${count(
      ({ servedAhead }) => (servedAhead ?? 0) >= 0,
      cells.filter(({ servedAhead }) => servedAhead !== null),
    )}`,
  ];
}

function figure(seconds: number): string {
  if (seconds >= 1000) return seconds.toFixed(0);
  return seconds >= 100 ? seconds.toFixed(1) : seconds.toFixed(2);
}

function share(part: number): string {
  return `${(100 * part).toFixed(1)} %`;
}
