/** Named situations in which schedulers fail, small enough to run under every policy (docs/scenarios.md). */
import type { ModelPolicy } from '../../scheduler/model-policy.ts';
import { createScheduler, type Scheduler } from '../../scheduler/scheduler.ts';
import { SwappingChecker } from '../checkers/swapping-checker.ts';
import { WaitingChecker } from '../checkers/waiting-checker.ts';
import { policyNamed } from '../policies/named-policies.ts';
import type { RequestSource } from '../request-source.ts';
import { runSimulation } from '../run-simulation.ts';
import type { RunFigures } from '../statistics/run-figures.ts';
import { SimulationStatistics } from '../statistics/simulation-statistics.ts';
import type { World } from '../world.ts';
import { ScenarioWaits } from './scenario-waits.ts';

export interface Scenario {
  readonly name: string;
  readonly world: World;
  readonly source: RequestSource;
  /** What the configuration says of each model beyond the world; absent: the defaults. */
  readonly policyOf?: (policy: ModelPolicy, schedulerName: string) => ModelPolicy;
  readonly patienceMs?: number;
}

export interface ScenarioRun {
  readonly figures: RunFigures;
  readonly waits: ScenarioWaits;
  readonly waiting: WaitingChecker;
  readonly swapping: SwappingChecker;
  /** Of the two bounds, by their checkers. */
  readonly broken: readonly string[];
}

export async function runScenario(scenario: Scenario, policy: string): Promise<ScenarioRun> {
  const { world, source, policyOf = (same) => same, patienceMs = null } = scenario;
  const { begin, decide } = createScheduler(policyNamed(policy) ?? undefined);
  const scheduler: Scheduler = {
    begin: (setup, nowMs) =>
      begin({ ...setup, models: setup.models.map((model) => policyOf(model, policy)) }, nowMs),
    decide,
  };
  const broken: string[] = [];
  const waits = new ScenarioWaits();
  const waiting = new WaitingChecker({ report: (text) => broken.push(text), everyPolicy: true });
  const swapping = new SwappingChecker((text) => broken.push(text), true);
  const statistics = new SimulationStatistics(world.devices.length);
  const observers = [statistics, waits, waiting, swapping];
  const options = { world, source, scheduler, seed: 1, timeScale: 1, patienceMs, observers };
  const end = await runSimulation(options);
  return { figures: statistics.figures(end), waits, waiting, swapping, broken };
}
