/**
 * Reads the original gateway's memory_footprints.json: by model name a figure and the settings that it was measured with.
 * Its exact shape is not documented, so this takes what can only mean one thing and names the rest. Pure.
 */
import type { ResolvedModel, SchedulingConfig } from '../config/resolved-config.ts';

/** What the original saw a model take. Settings that are null are not known. */
export interface OriginalFootprint {
  readonly model: string;
  /** MiB of one device. */
  readonly usedMib: number;
  readonly mode: string | null;
  readonly maxModelLen: number | null;
  readonly maxNumSeqs: number | null;
  readonly tensorParallelSize: number | null;
  readonly utilization: number | null;
}

interface ParsedFootprints {
  readonly entries: readonly OriginalFootprint[];
  /** What could not be understood, in words. */
  readonly problems: readonly string[];
}

const ENTRIES_MAX = 10_000;
const USED_MIB_MAX = 100_000_000;
const NAME_SHOWN_MAX = 80;

const FIGURE_KEYS = [
  ...['footprint_mib', 'vram_footprint_mib', 'vram_mib', 'vram_footprint', 'memory_mib', 'mib', 'used_mib'],
] as const;
const MODES: ReadonlySet<string> = new Set<SchedulingConfig['placementMode']>(['budget', 'whole_card']);
const WRAPPERS = ['models', 'footprints'] as const;

type Objects = Readonly<Record<string, unknown>>;
type Settings = Omit<OriginalFootprint, 'model' | 'usedMib'>;

export function parseFootprints(text: string): ParsedFootprints {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return { entries: [], problems: ['it is not valid JSON'] };
  }
  if (!isObject(parsed)) return { entries: [], problems: ['it is not a mapping of models'] };
  const all = Object.entries(unwrapped(parsed));
  const entries: OriginalFootprint[] = [];
  const problems: string[] = [];
  for (const [model, value] of all.slice(0, ENTRIES_MAX)) {
    const outcome = entryOf(value);
    if (typeof outcome === 'string') problems.push(`${shown(model)}: ${outcome}`);
    else entries.push({ model, ...outcome });
  }
  if (all.length > ENTRIES_MAX) problems.push(`entries beyond ${ENTRIES_MAX} are left out`);
  return { entries, problems };
}

/** Whether the model is configured now as it was when the original measured it. */
export function matchesConfiguration(
  entry: OriginalFootprint,
  model: ResolvedModel,
  placementMode: SchedulingConfig['placementMode'],
): boolean {
  const { maxModelLen, maxNumSeqs, tensorParallelSize, gpuMemoryUtilization } = model.vllm;
  return (
    model.url === null &&
    isUnknownOr(entry.mode, placementMode) &&
    isUnknownOr(entry.maxModelLen, maxModelLen) &&
    isUnknownOr(entry.maxNumSeqs, maxNumSeqs) &&
    isUnknownOr(entry.tensorParallelSize, tensorParallelSize) &&
    // Shares of a card go through JSON and Python's arithmetic.
    (entry.utilization === null || Math.abs(entry.utilization - gpuMemoryUtilization) < 1e-6)
  );
}

function isUnknownOr<T>(known: T | null, expected: T): boolean {
  return known === null || known === expected;
}

/** `{"models": {…}}` holds the entries one level further down, unless that is a model with this name. */
function unwrapped(parsed: Objects): Objects {
  for (const wrapper of WRAPPERS) {
    const inner = parsed[wrapper];
    if (isObject(inner) && !FIGURE_KEYS.some((key) => Object.hasOwn(inner, key))) return inner;
  }
  return parsed;
}

function entryOf(value: unknown): Omit<OriginalFootprint, 'model'> | string {
  if (!isObject(value)) {
    const usedMib = figureOf(value);
    return usedMib === null ? 'no amount of memory' : { usedMib, ...NO_SETTINGS };
  }
  const key = FIGURE_KEYS.find((name) => value[name] !== undefined && value[name] !== null);
  if (key === undefined) return `none of ${FIGURE_KEYS.join(', ')}`;
  const usedMib = figureOf(value[key]);
  if (usedMib === null) return `\`${key}\` is no amount of memory`;
  const settings = settingsOf(value);
  return typeof settings === 'string' ? settings : { usedMib, ...settings };
}

const NO_SETTINGS: Settings = {
  mode: null,
  maxModelLen: null,
  maxNumSeqs: null,
  tensorParallelSize: null,
  utilization: null,
};

function settingsOf(entry: Objects): Settings | string {
  const { signature } = entry;
  if (signature === undefined || signature === null) return namedSettings(entry);
  // What stands in the signature was measured with; beside it may be what was configured later.
  if (isObject(signature)) return namedSettings({ ...entry, ...signature });
  return listedSettings(signature) ?? 'its signature cannot be read';
}

function namedSettings(value: Objects): Settings | string {
  const mode = value['mode'] ?? value['placement_mode'] ?? null;
  if (mode !== null && typeof mode !== 'string') return 'its mode is no text';
  const problems: string[] = [];
  const numberOf = (...keys: readonly string[]): number | null => {
    const key = keys.find((name) => value[name] !== undefined && value[name] !== null);
    if (key === undefined) return null;
    const number = plainNumber(value[key]);
    if (number === null) problems.push(`\`${key}\` is no number`);
    return number;
  };
  const settings = {
    mode: mode === null ? null : modeOf(mode),
    maxModelLen: numberOf('max_model_len'),
    maxNumSeqs: numberOf('max_num_seqs'),
    tensorParallelSize: numberOf('tensor_parallel_size', 'tp'),
    utilization: numberOf('gpu_memory_utilization', 'utilization'),
  };
  return problems[0] ?? settings;
}

/** The five in their order (original: mode, context, sequences, tensor parallel size, utilisation), listed or joined. */
function listedSettings(signature: unknown): Settings | null {
  const parts: unknown = typeof signature === 'string' ? signature.split(/[|:,;]/) : signature;
  if (!Array.isArray(parts) || parts.length !== 5) return null;
  const [mode, ...rest] = parts.map((part: unknown) => (typeof part === 'string' ? part.trim() : part));
  const [maxModelLen, maxNumSeqs, tensorParallelSize, utilization] = rest.map(plainNumber);
  if (typeof mode !== 'string' || !MODES.has(modeOf(mode))) return null;
  if (maxModelLen == null || maxNumSeqs == null || tensorParallelSize == null || utilization == null)
    return null;
  return { mode: modeOf(mode), maxModelLen, maxNumSeqs, tensorParallelSize, utilization };
}

/** Python's enumerations print as `PlacementMode.BUDGET`, people write `whole-card`. */
function modeOf(text: string): string {
  return (text.split('.').at(-1) ?? '').trim().toLowerCase().replaceAll(/[ -]/g, '_');
}

function figureOf(value: unknown): number | null {
  const number = plainNumber(value);
  return number !== null && number > 0 && number <= USED_MIB_MAX ? number : null;
}

function plainNumber(value: unknown): number | null {
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  return typeof value === 'string' && /^\d+(\.\d+)?$/.test(value) ? Number(value) : null;
}

function isObject(value: unknown): value is Objects {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

function shown(name: string): string {
  return JSON.stringify(name.length > NAME_SHOWN_MAX ? `${name.slice(0, NAME_SHOWN_MAX)}…` : name);
}
