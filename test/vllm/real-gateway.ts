/** A gateway in front of real engines, started once for a test file, or the reason why there is none. */
import { readFileSync } from 'node:fs';
import { realModelsConfig } from '../../tools/real-vllm/real-models-config.ts';
import { groupMembers } from '../contract/engine-server.ts';
import { processesNaming, type RunningGateway, startGateway } from '../fixtures/gateway.ts';
import { findRealParts } from './real-parts.ts';

export type RealGateway =
  | { readonly kind: 'running'; readonly gateway: RunningGateway }
  | { readonly kind: 'unavailable'; readonly reason: string };

/** The chat model keeps responses, and has an adapter `noise`. */
export async function startRealGateway(): Promise<RealGateway> {
  const parts = await findRealParts();
  if (parts.kind === 'unavailable') return parts;
  const { models, ...others } = realModelsConfig(parts.vllm, parts.models);
  const smollm2 = { ...models['smollm2'], responses_store: true, adapters: { noise: parts.models.adapter } };
  const config = {
    ...others,
    models: { ...models, smollm2 },
    server: { shutdown_delay: 0, shutdown_drain: 10 },
  };
  return { kind: 'running', gateway: await startGateway({ config }) };
}

/** The API server's process of a model's engine, and where it listens; null when none runs. */
export async function findEngine(
  gateway: RunningGateway,
  model: string,
): Promise<{ readonly pid: number; readonly socketPath: string } | null> {
  for (const pid of await processesNaming(gateway.directory)) {
    const words = commandOf(pid);
    const socketPath = words[words.indexOf('--uds') + 1];
    if (words[words.indexOf('--served-model-name') + 1] !== model || socketPath === undefined) continue;
    return { pid, socketPath };
  }
  return null;
}

/** The engine core in the group of a model's API server: the process that computes. */
export function findEngineCore(engine: { readonly pid: number }): number | null {
  return groupMembers(engine.pid).find(({ title }) => title.startsWith('VLLM::EngineCore'))?.pid ?? null;
}

function commandOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    // It ended between the listing and our look.
    return [];
  }
}

/** Models with a running engine, by the gateway's own account. */
export async function residents(gateway: RunningGateway): Promise<readonly string[]> {
  const { gpus } = await gateway.status();
  return Object.values(gpus)
    .flatMap((device) => [...device.residents])
    .sort();
}
