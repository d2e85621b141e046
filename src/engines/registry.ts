/** The engines there are, by the word that the configuration uses. */
import { fileURLToPath } from 'node:url';
import type { EngineKind } from '../config/resolved-config.ts';
import type { Engine } from './engine.ts';
import { createOpenAiEngine } from './openai/engine.ts';
import { createVllmEngine } from './vllm/engine.ts';

const SIMULATOR = fileURLToPath(new URL('../../bin/vllm-sim.mjs', import.meta.url));

const ENGINES: Readonly<Record<EngineKind, Engine>> = {
  vllm: createVllmEngine({
    kind: 'vllm',
    assumedStartMs: 30_000,
    executable: (model) => model.vllm.executable,
    environment: process.env,
  }),
  simulated: createVllmEngine({
    kind: 'simulated',
    assumedStartMs: 2_000,
    // Run by our own Node, so that neither PATH nor an execute permission matters.
    executable: () => [process.execPath, SIMULATOR],
    environment: process.env,
  }),
  openai: createOpenAiEngine(process.env),
};

export function engineFor(kind: EngineKind): Engine {
  return ENGINES[kind];
}
