/** The options of a model that decide how much memory its launch takes, and what of them its `extra_args` say. */
import type { AdapterSlots } from './adapter-memory.ts';
import { floatType } from './element-types.ts';
import type { FootprintRequest } from './footprint.ts';
import { KV_TYPES, type KvType } from './kv-cache.ts';

export interface LaunchOptions {
  readonly placementMode: 'whole_card' | 'budget';
  /** 0: the model's own. */
  readonly maxModelLen: number;
  /** Sequences of that length whose cache is reserved. */
  readonly kvReservationSeqs: number;
  /** The least; more are taken where one device is too small. */
  readonly tensorParallelSize: number;
  readonly quantization: string | null;
  /** As `--dtype` has it; null or `auto`: the model's own. */
  readonly dtype: string | null;
  readonly extraArgs: readonly string[];
  /** What is generated for LoRA adapters; null: it has none. */
  readonly adapters: AdapterSlots | null;
  /** Share of a card that a model takes which has the card for itself. */
  readonly gpuMemoryUtilization: number;
  readonly colocate: boolean;
  /** Reserved on each device whatever else is known; null: to be found. */
  readonly memoryMib: number | null;
  /** Null: any device. */
  readonly pool: string | null;
}

/** `maxModelLen`: null for the model's own. */
export function footprintRequest(
  options: Pick<LaunchOptions, 'quantization' | 'dtype' | 'extraArgs'>,
  tensorParallel: number,
  maxModelLen: number | null,
  sequences: number,
): FootprintRequest {
  return {
    tensorParallel,
    pipelineParallel: 1,
    maxModelLen,
    sequences,
    kvType: kvType(options.extraArgs),
    dtype: floatType(options.dtype) ?? null,
    quantization: options.quantization,
  };
}

/** Null: the model's own. The flag in `extra_args` beats the option, as it does on vLLM's command line. */
export function contextLength(options: LaunchOptions): number | null {
  const flag = argument(options.extraArgs, '--max-model-len');
  const told = flag === null ? null : humanNumber(flag);
  if (told !== null) return told;
  return options.maxModelLen > 0 ? options.maxModelLen : null;
}

/** vLLM shortens the context itself until it fits (`--max-model-len auto`). */
export function fitsContextItself(options: LaunchOptions): boolean {
  const flag = argument(options.extraArgs, '--max-model-len');
  return flag === 'auto' || flag === '-1';
}

/** With what `extra_args` say instead. */
export function adapterSlots({ adapters, extraArgs }: LaunchOptions): AdapterSlots | null {
  if (adapters === null) return null;
  const told = (flag: string, own: number): number => Number(argument(extraArgs, flag) ?? own) || own;
  return { perBatch: told('--max-loras', adapters.perBatch), rank: told('--max-lora-rank', adapters.rank) };
}

/** A type that is not known here counts like the weights' own, which is the largest. */
function kvType(extraArgs: readonly string[]): KvType {
  const told = argument(extraArgs, '--kv-cache-dtype');
  return KV_TYPES.find((type) => type === told) ?? 'auto';
}

/** The value of the last `--flag value` or `--flag=value`; underscores are dashes. */
function argument(extraArgs: readonly string[], flag: string): string | null {
  let found: string | null = null;
  extraArgs.forEach((word, index) => {
    const [name = '', ...value] = word.split('=');
    if (name.replaceAll('_', '-') !== flag) return;
    found = value.length > 0 ? value.join('=') : (extraArgs[index + 1] ?? null);
  });
  return found;
}

/** vLLM's `human_readable_int`: 32k is 32,000 and 32K is 32,768. */
const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1000, K: 1024, m: 1_000_000, M: 1_048_576 };

function humanNumber(text: string): number | null {
  const parts = /^(\d+(?:\.\d+)?)([kKmM]?)$/.exec(text.trim());
  if (parts === null) return null;
  const value = Math.floor(Number(parts[1]) * (UNITS[parts[2] ?? ''] ?? 1));
  return value > 0 ? value : null;
}
