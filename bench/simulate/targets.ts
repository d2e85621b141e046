/** What the policy of production is to reach against the others, cell by cell and over all cells. Pure, so that tests can ask. */
import type { RunFigures } from '../../src/simulator/statistics/run-figures.ts';

/** A workload at one speed on one machine. */
export interface Cell {
  readonly world: string;
  readonly trace: string;
  readonly scale: number;
}

export interface CellRun {
  readonly policy: string;
  /** Null: everybody waits for ever. */
  readonly patienceS: number | null;
  readonly figures: RunFigures;
}

export interface CellRuns extends Cell {
  readonly runs: readonly CellRun[];
  /** Lower bound on the mean wait for engines, in seconds; null: not asked for. */
  readonly boundS: number | null;
}

/** Ratios are ours over theirs: below 1, ours is better. Null: it cannot be told from these runs. */
export interface CellJudgement extends Cell {
  readonly overloaded: boolean | null;
  readonly notReadyS: number;
  readonly bestPeer: string;
  readonly peerRatio: number;
  readonly worstBaseline: string;
  readonly worstRatio: number;
  readonly p99Ratio: number;
  readonly fairnessRatio: number | null;
  /** Served in time with patience: ours less the best of the peers. */
  readonly servedAhead: number | null;
  readonly boundRatio: number | null;
}

export const OURS = 'default';
/** The real rules of those whom people use instead. */
const PEERS = ['llama-swap', 'lru', 'ollama'] as const;
/** Added to both sides of a ratio, so that waits of nothing can be compared. */
const LEAST_S = 0.001;

/** Null where the policy of production or all peers are missing. */
export function judged(cell: CellRuns): CellJudgement | null {
  const patient = cell.runs.filter(({ patienceS }) => patienceS === null);
  const ours = patient.find(({ policy }) => policy === OURS);
  const others = patient.filter(({ policy }) => policy !== OURS);
  const peers = others.filter(({ policy }) => isPeer(policy));
  const bestPeer = leastBy(peers, notReady);
  const strongest = leastBy(others, notReady);
  const best = leastBy(patient, notReady);
  if (ours === undefined || bestPeer === null || strongest === null || best === null) return null;
  const { world, trace, scale, boundS } = cell;
  return {
    world,
    trace,
    scale,
    overloaded: !best.figures.queue_bounded,
    notReadyS: notReady(ours),
    bestPeer: bestPeer.policy,
    peerRatio: ratio(notReady(ours), notReady(bestPeer)),
    worstBaseline: strongest.policy,
    worstRatio: ratio(notReady(ours), notReady(strongest)),
    p99Ratio: ratio(p99(ours), Math.min(...peers.map(p99))),
    fairnessRatio: fairnessRatio(ours, peers),
    servedAhead: servedAhead(cell.runs),
    boundRatio: boundS === null ? null : ratio(notReady(ours), boundS),
  };
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / Math.max(1, values.length));
}

function servedAhead(runs: readonly CellRun[]): number | null {
  const impatient = runs.filter(({ patienceS }) => patienceS !== null);
  const ours = impatient.find(({ policy }) => policy === OURS);
  const peers = impatient.filter(({ policy }) => isPeer(policy));
  if (ours === undefined || peers.length === 0) return null;
  return ours.figures.served_share - Math.max(...peers.map(({ figures }) => figures.served_share));
}

function fairnessRatio(ours: CellRun, peers: readonly CellRun[]): number | null {
  const fairest = Math.min(...peers.map(({ figures }) => figures.fairness ?? Number.POSITIVE_INFINITY));
  if (ours.figures.fairness === null || fairest === Number.POSITIVE_INFINITY) return null;
  return ours.figures.fairness / fairest;
}

function isPeer(policy: string): boolean {
  return PEERS.some((peer) => peer === policy);
}

function notReady({ figures }: CellRun): number {
  return figures.not_ready_s.mean;
}

function p99({ figures }: CellRun): number {
  return figures.not_ready_s.p99;
}

function ratio(ours: number, theirs: number): number {
  return (ours + LEAST_S) / (theirs + LEAST_S);
}

function leastBy(runs: readonly CellRun[], value: (run: CellRun) => number): CellRun | null {
  return runs.reduce<CellRun | null>(
    (least, run) => (least === null || value(run) < value(least) ? run : least),
    null,
  );
}
