/** The engines there are, by the word that the configuration uses. */
import type { EngineKind } from '../config/resolved-config.ts';
import type { Engine } from './engine.ts';
import type { Environment } from './engine-environment.ts';
import { createOpenAiEngine } from './openai/engine.ts';
import { createSimulatedEngine } from './simulated/engine.ts';
import { createVllmEngine } from './vllm/engine.ts';
import { installedVersion } from './vllm/installed-version.ts';

/** Contexts and NCCL buffers were seen to take 0.3 to 0.6 GiB; vLLM reckons its share after they are there (vllm.md section 5). */
const CONTEXT_MIB = 512;

export type EngineRegistry = (kind: EngineKind) => Engine;

/**
 * `environment` is the gateway's own, of which engines get an allow-list. `sharesHost` false: engines run in images, where
 * nobody can say which release there is.
 */
export function createEngineRegistry(environment: Environment, sharesHost = true): EngineRegistry {
  const engines: Readonly<Record<EngineKind, Engine>> = {
    vllm: createVllmEngine({
      kind: 'vllm',
      assumedStartMs: 30_000,
      contextMib: CONTEXT_MIB,
      hostMib: 4096,
      executable: (model) => model.vllm.executable,
      version: (model) =>
        sharesHost ? installedVersion(model.vllm.executable, { ...environment, ...model.environment }) : null,
      environment,
    }),
    simulated: createSimulatedEngine(environment),
    openai: createOpenAiEngine(environment),
  };
  return (kind) => engines[kind];
}
