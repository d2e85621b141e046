/**
 * Any server that talks OpenAI's protocol: started by `command`, or already running behind `url`. Nothing is known of
 * it, so nothing is assumed: no sleep, no progress, the keep-alive of the most impatient frameworks.
 */
import type { ResolvedModel } from '../../config/resolved-config.ts';
import { assert } from '../../core/assert.ts';
import { commandArgv, commandListensOn } from '../command-template.ts';
import type { Engine, SleepResult } from '../engine.ts';
import type { Environment } from '../engine-environment.ts';
import { engineEnvironment } from '../engine-environment.ts';
import { hostFiles } from '../host-files.ts';
import type { ProbeTarget } from '../openai-probe.ts';
import { probeOpenAi } from '../openai-probe.ts';
import { diagnoseServer } from './diagnosis.ts';

/** Node's and uvicorn's default is 5 s. */
const FOREIGN_KEEP_ALIVE_MS = 5_000;

const CANNOT_SLEEP: SleepResult = { kind: 'failed', detail: 'a server of this kind cannot sleep' };

/** `environment` is the gateway's own, of which a command gets an allow-list. */
export function createOpenAiEngine(environment: Environment): Engine {
  return {
    kind: 'openai',
    capabilities: {
      unixSocket: true,
      sleepLevels: [],
      sleepsOn: [],
      routesAsleep: [],
      keepAliveMs: FOREIGN_KEEP_ALIVE_MS,
      assumedStartMs: 10_000,
      contextMib: 0,
      hostMib: 1024,
    },
    listensOn: (model) => commandListensOn(model.command ?? []),
    command: (model, context) => {
      assert(model.command !== null, `model ${model.name} has no command to launch`);
      return {
        argv: commandArgv(model.command, model, context),
        environment: {
          ...engineEnvironment(model, context, environment),
          // The command may well be vLLM.
          ...(model.responsesStore ? { VLLM_ENABLE_RESPONSES_API_STORE: '1' } : {}),
          PYTHONUNBUFFERED: '1',
          SPT_NOENV: '1',
          ...model.environment,
        },
        // Which of a foreign server's words are files nobody can say; `runtime.docker.volumes` brings them.
        files: hostFiles(model, context, []),
      };
    },
    probe: (http, model, timeoutMs, signal) => probeOpenAi(http, targetOf(model), timeoutMs, signal),
    parseLine: () => null,
    parseMemory: () => null,
    sleep: () => Promise.resolve(CANNOT_SLEEP),
    wake: () => Promise.resolve(CANNOT_SLEEP),
    version: () => null,
    isAsleep: () => Promise.resolve(false),
    warmUp: () => Promise.resolve({ kind: 'done' }),
    remedyOf: () => null,
    diagnose: diagnoseServer,
  };
}

function targetOf(model: ResolvedModel): ProbeTarget {
  const names = [model.servedName];
  return model.url === null
    ? { names, healthPath: '/health', healthOptional: true, identity: 'required' }
    : { names, healthPath: model.url.healthPath, healthOptional: true, identity: 'informative' };
}
