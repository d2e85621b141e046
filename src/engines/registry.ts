/** The engines there are, by the word that the configuration uses. */
import type { EngineKind } from '../config/resolved-config.ts';
import type { Engine } from './engine.ts';
import type { Environment } from './engine-environment.ts';
import { createOpenAiEngine } from './openai/engine.ts';
import { createSimulatedEngine } from './simulated/engine.ts';
import { createVllmEngine } from './vllm/engine.ts';
import { installedVersion } from './vllm/installed-version.ts';

export type EngineRegistry = (kind: EngineKind) => Engine;

/** `environment` is the gateway's own, of which engines get an allow-list. */
export function createEngineRegistry(environment: Environment): EngineRegistry {
  const engines: Readonly<Record<EngineKind, Engine>> = {
    vllm: createVllmEngine({
      kind: 'vllm',
      assumedStartMs: 30_000,
      hostMib: 4096,
      executable: (model) => model.vllm.executable,
      version: (model) => installedVersion(model.vllm.executable, { ...environment, ...model.environment }),
      environment,
    }),
    simulated: createSimulatedEngine(environment),
    openai: createOpenAiEngine(environment),
  };
  return (kind) => engines[kind];
}
