/** vLLM, and the simulation of it: the same flags, lines and routes, another executable. */
import type { ResolvedModel } from '../../config/resolved-config.ts';
import { commandListensOn } from '../command-template.ts';
import type { Engine } from '../engine.ts';
import type { Environment } from '../engine-environment.ts';
import { hostFiles } from '../host-files.ts';
import { probeOpenAi } from '../openai-probe.ts';
import { adapterFlags } from './adapter-flags.ts';
import { remedyOfAnswer } from './answer-remedies.ts';
import { vllmArgv } from './argv.ts';
import { diagnoseVllm } from './diagnosis.ts';
import { VLLM_KEEP_ALIVE_MS, vllmEnvironment } from './environment.ts';
import { parseVllmMemory } from './memory-lines.ts';
import { chooseParsers } from './parsers-choice.ts';
import { parseVllmLine } from './phases.ts';
import { isVllmAsleep, sleepVllm, wakeVllm } from './sleep.ts';
import { warmUpVllm } from './warm-up.ts';

/** Answered by the API server's own process, with the tokenizer or what it has stored alone. */
const ROUTES_ASLEEP: readonly string[] = [
  '/tokenize',
  '/detokenize',
  '/tokenizer_info',
  '/v1/messages/count_tokens',
  '/v1/responses/{id}',
];

export interface VllmEngineOptions {
  readonly kind: string;
  /** Start time to reckon with until one was measured. */
  readonly assumedStartMs: number;
  /** As in the capabilities. */
  readonly contextMib: number;
  /** Host memory of its processes to reckon with until it was measured. */
  readonly hostMib: number;
  /** argv prefix that runs the server, on this host or in an image. */
  readonly executable: (model: ResolvedModel, sharesHost: boolean) => readonly string[];
  /** Release that this runs; null: unknown. */
  readonly version: (model: ResolvedModel) => string | null;
  /** The gateway's own environment, of which the engine gets an allow-list. */
  readonly environment: Environment;
}

export function createVllmEngine(options: VllmEngineOptions): Engine {
  return {
    kind: options.kind,
    capabilities: {
      unixSocket: true,
      sleepLevels: [1, 2],
      sleepsOn: ['nvidia', 'amd', 'simulated'],
      routesAsleep: ROUTES_ASLEEP,
      keepAliveMs: VLLM_KEEP_ALIVE_MS,
      assumedStartMs: options.assumedStartMs,
      contextMib: options.contextMib,
      hostMib: options.hostMib,
    },
    listensOn: (model) => (model.command === null ? 'unix' : commandListensOn(model.command)),
    command: (model, context) => ({
      argv: vllmArgv(model, context, {
        executable: options.executable(model, context.sharesHost),
        parsers: () => {
          const { tool, reasoning } = chooseParsers(model, options.environment, context.sharesHost);
          return { tool: tool.parser, reasoning: reasoning.parser };
        },
        // Nobody looks into an image: it is taken for the newest, whose refusals are learned.
        version: () => (context.sharesHost ? options.version(model) : null),
        contextMib: options.contextMib,
      }),
      environment: vllmEnvironment(model, context, options.environment),
      files: hostFiles(model, context, [...adapterFlags(model, context).flat(), ...model.vllm.extraArgs]),
    }),
    probe: (http, model, timeoutMs, signal) =>
      probeOpenAi(
        http,
        { names: [model.servedName], healthPath: '/health', healthOptional: false, identity: 'required' },
        timeoutMs,
        signal,
      ),
    parseLine: parseVllmLine,
    parseMemory: parseVllmMemory,
    sleep: sleepVllm,
    wake: wakeVllm,
    version: options.version,
    isAsleep: isVllmAsleep,
    warmUp: warmUpVllm,
    remedyOf: (status, bodyStart) => remedyOfAnswer(status, bodyStart)?.text ?? null,
    diagnose: diagnoseVllm,
  };
}
