/**
 * Reads what `nvidia-smi --query-gpu=… --format=csv` prints. Pure. Values may be missing (`[N/A]`, `[Not Supported]`,
 * `[Unknown Error]`, `[GPU requires reset]`), units and header may or may not be there, the name may hold commas.
 */

/** Columns in the order that we ask for; the name comes last because only it may hold a comma. */
export const NVIDIA_COLUMNS = [
  'index',
  'uuid',
  'memory.total',
  'memory.used',
  'mig.mode.current',
  'name',
] as const;

export interface NvidiaGpu {
  readonly index: number;
  readonly uuid: string;
  readonly name: string;
  /** Null where the driver does not tell (unified memory, a lost device). */
  readonly totalMib: number | null;
  readonly usedMib: number | null;
  readonly migEnabled: boolean;
}

export interface NvidiaReport {
  readonly gpus: readonly NvidiaGpu[];
  /** Lines that are no GPU, shortened: warnings of the tool, or something we do not understand. */
  readonly unread: readonly string[];
}

const UNREAD_CHARS_MAX = 200;

export function parseNvidiaGpus(output: string): NvidiaReport {
  const gpus: NvidiaGpu[] = [];
  const unread: string[] = [];
  for (const raw of output.split('\n')) {
    const line = raw.trim();
    if (line === '' || isHeader(line)) continue;
    const gpu = parseGpu(line);
    if (gpu === null) unread.push(line.slice(0, UNREAD_CHARS_MAX));
    else gpus.push(gpu);
  }
  return { gpus, unread };
}

function isHeader(line: string): boolean {
  return line.startsWith('index,') && line.includes('uuid');
}

function parseGpu(line: string): NvidiaGpu | null {
  const cells = line.split(',').map((cell) => cell.trim());
  const [index = '', uuid = '', total = '', used = '', mig = '', ...name] = cells;
  if (!/^\d+$/.test(index) || !/^GPU-[0-9a-zA-Z-]+$/.test(uuid) || name.length === 0) return null;
  return {
    index: Number(index),
    uuid,
    name: name.join(', '),
    totalMib: mebibytes(total),
    usedMib: mebibytes(used),
    migEnabled: mig === 'Enabled',
  };
}

/** `24564`, `24564 MiB`, or null for any of the driver's words for "no value". */
function mebibytes(cell: string): number | null {
  const found = /^(\d+(?:\.\d+)?)(?:\s*MiB)?$/.exec(cell);
  return found === null ? null : Number(found[1]);
}

/** UUIDs of MIG instances by the UUID of their GPU, as `nvidia-smi -L` lists them. */
export function parseMigInstances(output: string): ReadonlyMap<string, readonly string[]> {
  const instances = new Map<string, string[]>();
  let current: string[] | null = null;
  for (const line of output.split('\n')) {
    const gpu = /^GPU \d+: .*\(UUID: (GPU-[^)]+)\)/.exec(line);
    if (gpu?.[1] !== undefined) {
      current = [];
      instances.set(gpu[1], current);
      continue;
    }
    const mig = /^\s+MIG .*\(UUID: (MIG-[^)]+)\)/.exec(line);
    if (mig?.[1] !== undefined) current?.push(mig[1]);
  }
  return instances;
}
