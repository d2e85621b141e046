/** Which models have facts to read, and how they are read while the gateway serves. */
import type { Environment } from '../config/environment.ts';
import type { ResolvedModel } from '../config/resolved-config.ts';
import { HubPause } from '../readers/hub-pause.ts';
import { readModelFacts } from '../readers/model-reader.ts';
import type { FactsRead } from './sizer-reading.ts';

/** Of one model, over the network. Someone may be waiting, and without facts it runs all the same. */
export const READ_LIMIT_MS = 20_000;

/** Null: nothing to read. */
type ReadModel = (model: ResolvedModel, timeLimitMs?: number) => Promise<FactsRead> | null;

/** A hub that does not answer one reading is not asked by the others for a while. `nowMs` is for tests. */
export function factsReader(
  environment: Environment,
  stateDirectory: string,
  nowMs = () => performance.now(),
): ReadModel {
  const pause = new HubPause(nowMs);
  return (model, timeLimitMs = READ_LIMIT_MS) => {
    const { repo } = model;
    // A simulated model is named like nothing on any hub, and what it takes is configured.
    if (repo === null || (model.engine === 'simulated' && repo === model.name)) return null;
    const offline = model.engine === 'simulated' ? { HF_HUB_OFFLINE: '1' } : {};
    return readModelFacts(repo, {
      // The engine will look where the model's own environment says.
      environment: { ...environment, ...model.environment, ...offline },
      stateDirectory,
      revision: revisionOf(model.vllm.extraArgs),
      timeLimitMs,
      pause,
    });
  };
}

function revisionOf(extraArgs: readonly string[]): string | undefined {
  const index = extraArgs.findLastIndex((word) => /^--revision(=|$)/.test(word));
  if (index < 0) return undefined;
  const [, value] = (extraArgs[index] ?? '').split('=', 2);
  return value ?? extraArgs[index + 1];
}
