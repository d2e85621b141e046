/** Reads a world from its file (docs/simulate.md). */
import { readFileSync } from 'node:fs';
import * as z from 'zod';
import { InputFault, unreadable } from './input-fault.ts';
import type { ModelCosts, World } from './world.ts';

const MS_PER_S = 1000;

const memory = z.number().nonnegative();
const seconds = z.number().nonnegative();
const rate = z.number().positive();

const startTimes = z
  .object({ min: seconds, median: rate, p90: rate })
  .refine(({ min, median, p90 }) => min <= median && median <= p90, 'min <= median <= p90 is expected');

const modelCosts = z.object({
  weights_mib: memory,
  kv_mib: memory,
  overhead_mib: memory,
  gpus: z.int().positive(),
  cold_start_s: startTimes,
  sleep_l1_s: seconds,
  wake_l1_s: seconds,
  stop_s: seconds,
  prefill_tokens_per_s: rate,
  decode_tokens_per_s: rate,
  max_concurrent: z.int().positive(),
});

/** Keys that are not known here (`note`, `assign`, figures for other programs) are left alone. */
const world = z.object({
  name: z.string().min(1),
  devices: z
    .array(
      z.object({
        uuid: z.string().min(1),
        memory_mib: z.number().positive(),
        budget_fraction: z.number().positive().max(1),
      }),
    )
    .min(1)
    .refine(
      (devices) => new Set(devices.map(({ uuid }) => uuid)).size === devices.length,
      'each device needs a uuid of its own',
    ),
  host_memory_mib: memory,
  sleep: z.boolean(),
  palette: z.array(modelCosts).min(1),
});

/** @throws InputFault: the file cannot be read, is no JSON, or a key of it is wrong (all wrong keys are named). */
export function loadWorld(file: string): World {
  const parsed = world.safeParse(readJson(file));
  if (!parsed.success) throw worldFault(file, parsed.error.issues);
  const { name, devices, host_memory_mib, sleep, palette } = parsed.data;
  return {
    name,
    devices: devices.map(({ uuid, memory_mib, budget_fraction }) => ({
      id: uuid,
      memoryMib: memory_mib,
      budgetFraction: budget_fraction,
    })),
    hostMemoryMib: host_memory_mib,
    sleep,
    palette: palette.map(costsOf),
  };
}

function costsOf(entry: z.infer<typeof modelCosts>): ModelCosts {
  const { min, median, p90 } = entry.cold_start_s;
  return {
    weightsMib: entry.weights_mib,
    kvMib: entry.kv_mib,
    overheadMib: entry.overhead_mib,
    gpus: entry.gpus,
    coldStart: { minMs: wholeMs(min), medianMs: wholeMs(median), p90Ms: wholeMs(p90) },
    sleepMs: wholeMs(entry.sleep_l1_s),
    wakeMs: wholeMs(entry.wake_l1_s),
    stopMs: wholeMs(entry.stop_s),
    prefillTokensPerS: entry.prefill_tokens_per_s,
    decodeTokensPerS: entry.decode_tokens_per_s,
    maxConcurrent: entry.max_concurrent,
  };
}

function wholeMs(s: number): number {
  return Math.round(s * MS_PER_S);
}

function readJson(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw unreadable(file, error);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    const problem = `is no JSON: ${error instanceof Error ? error.message : String(error)}`;
    const remedy = 'Correct it; docs/simulate.md shows a whole world';
    throw new InputFault({ source: file, place: null, problem, remedy });
  }
}

function worldFault(file: string, issues: readonly z.core.$ZodIssue[]): InputFault {
  const texts = issues.map(({ path, message }) => `${pathText(path)}: ${message}`);
  return new InputFault({
    source: file,
    place: texts.join('; '),
    problem: 'this is no world',
    remedy: 'Correct these keys; docs/simulate.md tells what each means',
  });
}

function pathText(path: readonly PropertyKey[]): string {
  const text = path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./, '');
  return text === '' ? 'the whole file' : text;
}
