/** What `simulate --bound` adds: how far the runs are from what any schedule can reach. */
import { type Bound, computeBound } from '../simulator/bound/bound.ts';
import { checkAgainstBound } from '../simulator/bound/check-bound.ts';
import { InputFault } from '../simulator/input-fault.ts';
import type { RequestSource } from '../simulator/request-source.ts';
import type { SimulationStatistics } from '../simulator/statistics/simulation-statistics.ts';
import type { World } from '../simulator/world.ts';
import type { SimulationReport } from './simulate-text.ts';

/** It converges on the longest traces at hand within this. */
const BUDGET_MS = 45_000;
/** Of rounding in printed figures. */
const ROUNDING_S = 0.0011;

export interface BoundedRun {
  readonly report: SimulationReport;
  readonly statistics: SimulationStatistics;
}

export interface BoundInputs {
  readonly world: World;
  readonly source: RequestSource;
  readonly timeScale: number;
  readonly seed: number;
}

/** @throws InputFault: it is told of patient requests only that no answer has caused. */
export function assertBoundable(patience: number | null, closed: readonly string[]): void {
  const fault = (flag: string, problem: string) =>
    new InputFault({ source: '--bound', place: flag, problem, remedy: 'Leave one of the two out' });
  if (patience !== null) throw fault('--patience', 'the bound is one on requests that wait for ever');
  if (closed.length > 0) throw fault('--closed', 'the bound needs to know all requests beforehand');
}

/**
 * One bound for all runs, with the starts that were drawn as far as any of them came, and each run's report with it. A run below
 * the bound is a violation: then one of the two is wrong.
 */
export function boundedReports(
  runs: readonly BoundedRun[],
  inputs: BoundInputs,
): readonly SimulationReport[] {
  const starts = new Map<string, number>();
  for (const { statistics } of runs) {
    for (const [model, count] of statistics.starts)
      starts.set(model, Math.max(count, starts.get(model) ?? 0));
  }
  const targetMeanS = Math.min(...runs.map(({ report }) => report.not_ready_s.mean));
  const bound = computeBound({ ...inputs, starts, targetMeanS, budgetMs: BUDGET_MS });
  return runs.map(({ report }) => withBound(report, bound));
}

function withBound(report: SimulationReport, bound: Bound): SimulationReport {
  const { mean } = report.not_ready_s;
  const ratio = bound.demand_s === 0 ? null : Number((mean / bound.demand_s).toPrecision(4));
  const bounded = { ...report, bound: { ratio, ...bound } };
  const run = { notReadyMeanS: mean + ROUNDING_S, requests: report.requests, loadsAhead: false };
  const text = checkAgainstBound(run, bound);
  if (text === null) return bounded;
  return {
    ...bounded,
    violations: report.violations + 1,
    violation_texts: [...report.violation_texts, text],
  };
}
