/**
 * vLLM's flags for the LoRA adapters of a model. What one batch may mix and how large an adapter may be is memory that
 * vLLM takes for good, so it is no more than what the configured ones need; `extra_args` may say otherwise.
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { ResolvedModel } from '../../config/resolved-config.ts';
import { isRecord, parseJson } from '../ask-in-time.ts';
import type { LaunchContext } from '../engine.ts';
import { nameOrPath } from '../host-files.ts';
import type { Flag } from './argv.ts';

/** Adapters that one batch mixes; others wait for the next one. vLLM's own default is one. */
const ADAPTERS_PER_BATCH_MAX = 4;
/** What vLLM accepts for `--max-lora-rank`; its default is 16. */
const RANKS: readonly number[] = [16, 32, 64, 128, 256, 320, 512];

/** Empty without adapters, and for a model whose command is the user's own. */
export function adapterFlags(
  model: Pick<ResolvedModel, 'adapters' | 'command'>,
  { sharesHost }: Pick<LaunchContext, 'sharesHost'>,
): readonly Flag[] {
  const adapters = Object.entries(model.adapters);
  if (adapters.length === 0 || model.command !== null) return [];
  const modules = adapters.map(([name, path]) => moduleArgument(name, nameOrPath(path, sharesHost)));
  const rank = rankFor(adapters.map(([, path]) => rankOf(path)));
  const flags: Flag[] = [
    ['--enable-lora'],
    ['--max-loras', String(Math.min(adapters.length, ADAPTERS_PER_BATCH_MAX))],
    ['--lora-modules', ...modules],
  ];
  if (rank !== null) flags.push(['--max-lora-rank', String(rank)]);
  return flags;
}

/** The short form where every vLLM reads it as it is meant: some split at each `=`, and none takes a comma in it. */
function moduleArgument(name: string, path: string): string {
  return /[,={]/.test(name + path) ? JSON.stringify({ name, path }) : `${name}=${path}`;
}

/** The least that fits all; null where vLLM's default does. */
function rankFor(ranks: readonly (number | null)[]): number | null {
  const most = Math.max(0, ...ranks.map((rank) => rank ?? 0));
  const least = RANKS.find((rank) => rank >= most) ?? null;
  return least === RANKS[0] ? null : least;
}

/** From an adapter's folder on this host; null: it is a repository, or says nothing. */
function rankOf(path: string): number | null {
  const folder = path.startsWith('~/') ? join(homedir(), path.slice(2)) : path;
  try {
    const config = parseJson(readFileSync(join(folder, 'adapter_config.json'), 'utf8'));
    return isRecord(config) && typeof config.r === 'number' ? config.r : null;
  } catch {
    return null;
  }
}
