/**
 * What the tests with real engines are made of: the installed vLLM and its models, or the reason why there are none;
 * programs that stand before vLLM; and a configuration in which these engines run on simulated devices.
 */
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ensureRealVllm, type InstalledVllm } from '../../tools/real-vllm/install.ts';
import { ensureModels, type RealModels } from '../../tools/real-vllm/models.ts';
import { realEngineEnvironment } from '../../tools/real-vllm/real-models-config.ts';

export type RealParts =
  | { readonly kind: 'found'; readonly vllm: InstalledVllm; readonly models: RealModels }
  | { readonly kind: 'unavailable'; readonly reason: string };

export async function findRealParts(): Promise<RealParts> {
  const onProgress = (line: string): void => console.log(line);
  const vllm = await ensureRealVllm({ onProgress });
  if ('unavailable' in vllm) return { kind: 'unavailable', reason: vllm.unavailable };
  const models = await ensureModels(vllm.python, { onProgress });
  if ('unavailable' in models) return { kind: 'unavailable', reason: models.unavailable };
  return { kind: 'found', vllm, models };
}

interface Unavailable {
  readonly kind: 'unavailable';
  readonly reason: string;
}

/** A test that is skipped with the reason where there is none of what it needs. */
export function realTest<T extends { readonly kind: string }>(
  name: string,
  needed: () => T | Unavailable,
  run: (found: T) => Promise<void>,
): void {
  test(name, async (t) => {
    const found = needed();
    if (isUnavailable(found)) return t.skip(`no real vLLM: ${found.reason}`);
    await run(found);
  });
}

function isUnavailable(found: object): found is Unavailable {
  return 'kind' in found && found.kind === 'unavailable';
}

/** A simulated device is far larger than this machine: the share of it that an engine is told is a small one. */
const DEVICE_MIB = 65_536;
/** What an engine reserves there. */
export const ENGINE_MIB = 4_096;
/** More than what sleeping engines are reckoned to leave on the device, and less than another engine. */
const SPARE_MIB = 3_072;

export interface SimulatedDevicesSetup {
  readonly executable: readonly string[];
  readonly models: Readonly<Record<string, unknown>>;
  /** Each holds one engine of `ENGINE_MIB` at a time, beside what sleeping ones leave there. */
  readonly devices: number;
  readonly budgetMode?: boolean;
  /** Reserved for each model; absent: as computed. */
  readonly memoryMib?: number;
  /** The KV cache is as large as its flag says: on a processor a variable of ours would win over it. */
  readonly cacheFromFlag?: boolean;
}

/**
 * Real engines on simulated devices: the gateway manages memory there that they do not take, and believes that sleeping
 * frees it. In the shape of models.yaml.
 */
export function simulatedDevicesConfig(setup: SimulatedDevicesSetup): Record<string, unknown> {
  const budgetMib = ENGINE_MIB + SPARE_MIB;
  const { VLLM_CPU_KVCACHE_SPACE, ...others } = realEngineEnvironment();
  const environment = setup.cacheFromFlag === true ? others : { ...others, VLLM_CPU_KVCACHE_SPACE };
  return {
    server: { shutdown_delay: 0, shutdown_drain: 10 },
    devices: {
      source: 'simulated',
      simulated: Array.from({ length: setup.devices }, (_, index) => ({
        id: `sim-gpu-${index}`,
        memory_mib: DEVICE_MIB,
      })),
      budget_fraction: budgetMib / DEVICE_MIB,
    },
    ...(setup.budgetMode === true ? { scheduling: { placement_mode: 'budget' } } : {}),
    defaults: {
      vllm_executable: setup.executable,
      environment,
      ...(setup.memoryMib === undefined ? {} : { memory_mib: setup.memoryMib }),
      dtype: 'float32',
      enforce_eager: true,
      max_num_seqs: 8,
      load_timeout: '4m',
    },
    models: setup.models,
  };
}

/** Shell that a program before vLLM runs, with vLLM's arguments in "$@". */
export interface WrapperSetup {
  readonly directory: string;
  readonly name: string;
  readonly vllm: InstalledVllm;
  readonly steps: readonly string[];
}

/** Writes the program and answers its path. */
export async function writeWrapper(setup: WrapperSetup): Promise<string> {
  const file = join(setup.directory, setup.name);
  const command = setup.vllm.executable.map((word) => `'${word}'`).join(' ');
  await writeFile(file, ['#!/bin/sh', ...setup.steps, `exec ${command} "$@"`, ''].join('\n'));
  await chmod(file, 0o755);
  return file;
}

/** Takes a flag without a value away: vLLM for processors does not start with every flag. */
export function withoutSwitch(flag: string): string {
  return `for word do shift; [ "$word" = "${flag}" ] || set -- "$@" "$word"; done`;
}

/** Refuses a flag as argparse does, in the words of a vLLM that is too old for it. */
export function refusingFlag(flag: string): string {
  const text = `vllm: error: unrecognized arguments: ${flag}`;
  return `for word do case "$word" in ${flag}|${flag}=*) echo "${text}" >&2; exit 2;; esac; done`;
}

/** Appends the arguments of each run to a file, a line each. */
export function recordingArguments(file: string): string {
  return `printf '%s ' "$@" >> '${file}'; echo >> '${file}'`;
}

/** Gives the first run another value of a flag than it was told. */
export function withOtherValueOnce(flag: string, value: number, marker: string): string {
  return [
    `if mkdir '${marker}' 2>/dev/null; then`,
    `  last=; for word do shift; [ "$last" = "${flag}" ] && { last=; word=${value}; } || last=$word; set -- "$@" "$word"; done`,
    'fi',
  ].join('\n');
}
