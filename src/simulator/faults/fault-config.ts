/** Configurations of many small gateways: one is read as production reads it, the others differ from it in their models alone. */
import type { ResolvedConfig, ResolvedModel } from '../../config/resolved-config.ts';
import { simulationConfig } from '../machine/machine-config.ts';
import { awakeMib } from '../world.ts';
import { drawPlan, type FaultPlan } from './fault-plan.ts';

/** Long enough for every start that is only late. */
const LOAD_TIMEOUT_MS = 60_000;
const DRAIN_TIMEOUT_MS = 15_000;

let template: Promise<{ readonly config: ResolvedConfig; readonly model: ResolvedModel }> | null = null;

async function readTemplate(): Promise<{ readonly config: ResolvedConfig; readonly model: ResolvedModel }> {
  const { world, costs } = drawPlan(0);
  const config = await simulationConfig({ ...world, sleep: true }, new Map([...costs].slice(0, 1)));
  const [model] = config.models.values();
  if (model === undefined) throw new Error('the configuration of a simulation has no models');
  return { config, model };
}

export async function faultConfig({ world, costs }: FaultPlan): Promise<ResolvedConfig> {
  template ??= readTemplate();
  const { config, model } = await template;
  const models = [...costs].map(([name, of]): [string, ResolvedModel] => [
    name,
    {
      ...model,
      name,
      servedName: name,
      repo: name,
      need: { deviceCount: of.gpus, pool: null, memoryMibPerDevice: awakeMib(of) },
      maxConcurrent: of.maxConcurrent,
      sleep: world.sleep ? 'auto' : 'off',
      loadTimeoutMs: LOAD_TIMEOUT_MS,
      drainTimeoutMs: DRAIN_TIMEOUT_MS,
    },
  ]);
  return { ...config, models: new Map(models) };
}
