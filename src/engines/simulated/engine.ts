/** The simulated engine: vLLM's flags, lines and routes with `vllm-sim` in its place. */
import { fileURLToPath } from 'node:url';
import type { Engine } from '../engine.ts';
import type { Environment } from '../engine-environment.ts';
import { createVllmEngine } from '../vllm/engine.ts';

/** From src/ as well as from dist/: both lie beside bin/. */
const PROGRAM = fileURLToPath(new URL('../../../bin/vllm-sim.mjs', import.meta.url));

export function createSimulatedEngine(environment: Environment): Engine {
  return createVllmEngine({
    kind: 'simulated',
    assumedStartMs: 2_000,
    contextMib: 0,
    hostMib: 150,
    // Here run by our own Node, so that neither PATH nor an execute permission matters; an image has it on its PATH.
    executable: (_, sharesHost) => (sharesHost ? [process.execPath, PROGRAM] : ['vllm-sim']),
    // It knows every flag; a Python beside our Node has nothing to do with it.
    version: () => null,
    environment,
  });
}
