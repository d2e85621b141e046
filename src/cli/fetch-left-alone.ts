/** What `vllm-gateway fetch` says of a model of which nothing is fetched: it is here, it is not, or it is somebody else's. */
import { existsSync } from 'node:fs';
import type { Environment } from '../config/environment.ts';
import type { ResolvedModel } from '../config/resolved-config.ts';
import { hubAccess } from '../readers/hub-access.ts';
import { parseModelName } from '../readers/model-name.ts';
import { fetchPlan } from '../weights/fetch-plan.ts';

export type LeftAlone =
  | { readonly kind: 'there' }
  | { readonly kind: 'absent'; readonly text: string }
  /** A bucket, a service elsewhere, an engine that fetches for itself. */
  | { readonly kind: 'not_ours' };

/** Null: there is something to fetch. */
export async function leftAlone(model: ResolvedModel, environment: Environment): Promise<LeftAlone | null> {
  const own = { ...environment, ...model.environment };
  if (fetchPlan(model, own, await hubAccess(own)).kind === 'fetch') return null;
  const { repo, url, command, engine } = model;
  if (repo === null || url !== null || command !== null || engine !== 'vllm') return { kind: 'not_ours' };
  if (/^\w+:\/\//.test(repo) && !/^https?:/i.test(repo)) return { kind: 'not_ours' };
  const name = parseModelName(repo, existsSync);
  if (name === null)
    return {
      kind: 'absent',
      text: 'this is no repository (owner/name), no address of a GGUF file and no path that exists',
    };
  if (name.kind === 'repository') return { kind: 'not_ours' };
  return existsSync(name.path)
    ? { kind: 'there' }
    : { kind: 'absent', text: `there is nothing at ${name.path}` };
}
