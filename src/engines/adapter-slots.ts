/**
 * How many LoRA adapters a batch of a model may mix, and how large they may be: both are memory that an engine takes for
 * good at its start, so they are no more than what the configured ones need.
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { ResolvedModel } from '../config/resolved-config.ts';
import { isRecord, parseJson } from './ask-in-time.ts';

export interface AdapterSlots {
  /** Adapters that one batch may mix; others wait for the next one. */
  readonly perBatch: number;
  /** One of `ADAPTER_RANKS`. */
  readonly rank: number;
}

const ADAPTERS_PER_BATCH_MAX = 4;
/** What vLLM accepts for `--max-lora-rank`, from its default on. */
const ADAPTER_RANKS: readonly number[] = [16, 32, 64, 128, 256, 320, 512];
export const DEFAULT_ADAPTER_RANK = 16;

/** Null for a model without adapters, and where others load them. */
export function adapterSlotsOf({
  adapters,
  command,
  url,
}: Pick<ResolvedModel, 'adapters' | 'command' | 'url'>): AdapterSlots | null {
  const paths = Object.values(adapters);
  if (paths.length === 0 || command !== null || url !== null) return null;
  return { perBatch: Math.min(paths.length, ADAPTERS_PER_BATCH_MAX), rank: rankFor(paths.map(rankOf)) };
}

/** The least that fits all; the default where none does, which vLLM then says. */
function rankFor(ranks: readonly (number | null)[]): number {
  const most = Math.max(0, ...ranks.map((rank) => rank ?? 0));
  return ADAPTER_RANKS.find((rank) => rank >= most) ?? DEFAULT_ADAPTER_RANK;
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
