/** The simulated engine: vLLM's flags, lines and routes with `vllm-sim` in its place, and devices whose memory is a ledger. */
import { fileURLToPath } from 'node:url';
import type { Engine } from '../engine.ts';
import type { Environment } from '../engine-environment.ts';
import { createVllmEngine } from '../vllm/engine.ts';
import { LEDGER_VARIABLE } from './ledger.ts';

/** From src/ as well as from dist/: both lie beside bin/. */
const PROGRAM = fileURLToPath(new URL('../../../bin/vllm-sim.mjs', import.meta.url));

/** `ledgerDirectory` is the one that the simulated devices were created with. */
export function createSimulatedEngine(environment: Environment, ledgerDirectory: string): Engine {
  const engine = createVllmEngine({
    kind: 'simulated',
    assumedStartMs: 2_000,
    // Run by our own Node, so that neither PATH nor an execute permission matters.
    executable: () => [process.execPath, PROGRAM],
    environment,
  });
  return {
    ...engine,
    command(model, context) {
      const command = engine.command(model, context);
      if (context.deviceSource !== 'simulated') return command;
      return { ...command, environment: { [LEDGER_VARIABLE]: ledgerDirectory, ...command.environment } };
    },
  };
}
