/** Gathers all that `plan` tells: sizes, devices, what was learned, and the plan that follows from them. */
import type { Environment } from '../config/environment.ts';
import type { ResolvedConfig, ResolvedModel } from '../config/resolved-config.ts';
import { learnedCosts } from '../control/cost-keeper.ts';
import { deviceBudgets, modelPolicies, schedulingPolicy } from '../control/policies.ts';
import type { SizingReport } from '../control/sizer-ports.ts';
import type { ModelName } from '../core/ids.ts';
import { createEngineRegistry } from '../engines/registry.ts';
import { chooseParsers, type ParserChoices } from '../engines/vllm/parsers-choice.ts';
import { makePlan, type Plan } from '../planning/plan.ts';
import type { ModelNeed } from '../scheduler/model-need.ts';
import { createFootprintStore } from '../store/footprints.ts';
import { readLearnedCosts } from '../store/learned-costs.ts';
import { openStateDatabase } from '../store/state-database.ts';
import type { PlannedDevices } from './planned-devices.ts';
import { sizeModels } from './sized-models.ts';

/** For reading the facts of all models, from a hub at the worst. */
export const FACTS_LIMIT_MS = 60_000;

export interface PlanReport {
  readonly config: ResolvedConfig;
  readonly planned: PlannedDevices;
  readonly models: readonly PlannedModel[];
  readonly plan: Plan;
  /** What could not be used, in sentences. */
  readonly warnings: readonly string[];
}

export interface PlannedModel {
  readonly model: ResolvedModel;
  /** Null: somebody else runs it. */
  readonly size: SizingReport | null;
  readonly need: ModelNeed | null;
  /** Null: its command line is not the gateway's. */
  readonly parsers: ParserChoices | null;
}

export interface PlanSubject {
  readonly config: ResolvedConfig;
  readonly environment: Environment;
  readonly planned: PlannedDevices;
  readonly factsLimitMs: number;
}

export async function planReport(subject: PlanSubject): Promise<PlanReport> {
  const { config, environment, planned, factsLimitMs } = subject;
  const warnings = config.notices.filter(({ level }) => level !== 'info').map(({ text }) => text);
  const opened = openStateDatabase({
    directory: config.runtime.stateDirectory,
    access: 'read',
    onFault: (text) => warnings.push(text),
  });
  if (!opened.ok) warnings.push(`nothing that was learned is known: ${opened.error}`);
  const database = opened.ok ? opened.value.database : null;
  if (opened.ok) warnings.push(...opened.value.notices.map(({ text }) => text));
  const sharesHost = config.runtime.kind === 'process';
  const engineFor = createEngineRegistry(environment, sharesHost);
  const engineOf = (model: ResolvedModel) => engineFor(model.engine);
  try {
    const { reports, needOf } = await sizeModels({
      config,
      environment,
      engineOf,
      devices: planned.devices,
      footprints: database === null ? null : createFootprintStore(database),
      offline: false,
      timeLimitMs: factsLimitMs,
    });
    const policies = modelPolicies(config, engineOf, needOf);
    const plan = makePlan({
      models: policies,
      devices: deviceBudgets(planned.devices, new Map()),
      scheduling: schedulingPolicy(config),
      learned: database === null ? {} : learnedCosts(readLearnedCosts(database), policies),
      hostBudgetMib: planned.host?.budgetMib ?? null,
      launchPrefix: 'plan',
    });
    const chosenParsers = (model: ResolvedModel) =>
      writesCommand(model) ? chooseParsers(model, environment, sharesHost) : null;
    const models = [...config.models.values()].map((model) =>
      plannedModel(model, chosenParsers(model), reports, needOf(model.name)),
    );
    return { config, planned, models, plan, warnings };
  } finally {
    database?.close();
  }
}

function writesCommand({ engine, command, url }: ResolvedModel): boolean {
  return engine === 'vllm' && command === null && url === null;
}

function plannedModel(
  model: ResolvedModel,
  parsers: PlannedModel['parsers'],
  reports: ReadonlyMap<ModelName, SizingReport>,
  need: ModelNeed | null,
): PlannedModel {
  return {
    model,
    size: reports.get(model.name) ?? null,
    need: model.url === null ? need : null,
    parsers,
  };
}

/** Models that no device is ever free for, because always-on ones take the room. */
export function blockedModels({ makingRoom }: Plan): readonly ModelName[] {
  return [...makingRoom].filter(([, room]) => room.kind === 'blocked').map(([name]) => name);
}

/** Everything can run that is configured. */
export function isGood({ plan, planned }: PlanReport): boolean {
  const unfit = plan.neverFits.size + plan.together.crowdedOut.length + blockedModels(plan).length;
  return unfit === 0 && planned.complete;
}
