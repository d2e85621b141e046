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
  /** Null where the driver does not tell; `memory` says why. */
  readonly totalMib: number | null;
  readonly usedMib: number | null;
  readonly migEnabled: boolean;
  /** `unified`: it has no memory of its own (`[N/A]`). `lost`: it does not answer. */
  readonly memory: 'own' | 'unified' | 'lost';
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
    memory: memoryKind(total, used),
  };
}

function memoryKind(total: string, used: string): NvidiaGpu['memory'] {
  if (/error|reset|lost/i.test(total) || /error|reset|lost/i.test(used)) return 'lost';
  if (mebibytes(total) !== null) return 'own';
  return /^\[?(N\/A|Not Supported)\]?$/i.test(total) ? 'unified' : 'lost';
}

/** `24564`, `24564 MiB`, or null for any of the driver's words for "no value". */
function mebibytes(cell: string): number | null {
  const found = /^(\d+(?:\.\d+)?)(?:\s*MiB)?$/.exec(cell);
  return found === null ? null : Number(found[1]);
}

/** Columns of `--query-compute-apps`. */
export const NVIDIA_PROCESS_COLUMNS = ['pid', 'gpu_uuid', 'used_memory'] as const;

export interface NvidiaProcess {
  readonly pid: number;
  readonly uuid: string;
  readonly usedMib: number | null;
}

/** Null where a line says that processes cannot be told, or is something else altogether. */
export function parseNvidiaProcesses(output: string): readonly NvidiaProcess[] | null {
  const processes: NvidiaProcess[] = [];
  for (const raw of output.split('\n')) {
    const line = raw.trim();
    if (line === '' || line.startsWith('pid,') || /^no running processes found$/i.test(line)) continue;
    const [pid = '', uuid = '', used = '', ...more] = line.split(',').map((cell) => cell.trim());
    if (!/^\d+$/.test(pid) || !/^(GPU|MIG)-[0-9a-zA-Z/-]+$/.test(uuid) || more.length > 0) return null;
    processes.push({ pid: Number(pid), uuid, usedMib: mebibytes(used) });
  }
  return processes;
}

export interface MigListing {
  /** Its number on its GPU, as `nvidia-smi -q -x` also numbers it. */
  readonly index: number;
  readonly uuid: string;
  /** Such as `3g.20gb`. */
  readonly profile: string;
}

/** MIG instances by the UUID of their GPU, as `nvidia-smi -L` lists them. */
export function parseMigInstances(output: string): ReadonlyMap<string, readonly MigListing[]> {
  const instances = new Map<string, MigListing[]>();
  let current: MigListing[] | null = null;
  for (const line of output.split('\n')) {
    const gpu = /^GPU \d+: .*\(UUID: (GPU-[^)]+)\)/.exec(line);
    if (gpu?.[1] !== undefined) {
      current = [];
      instances.set(gpu[1], current);
      continue;
    }
    const mig = /^\s+MIG (\S+)\s+Device\s+(\d+): \(UUID: (MIG-[^)]+)\)/.exec(line);
    const [, profile, index, uuid] = mig ?? [];
    if (profile === undefined || uuid === undefined) continue;
    current?.push({ index: Number(index), uuid, profile });
  }
  return instances;
}

/** The answer to `--query-gpu=driver_version` without a header. Null: no version, as from a tool that ignores what it is asked. */
export function parseDriverVersion(csv: string): string | null {
  const line = csv.trimStart().split('\n')[0]?.trim() ?? '';
  return /^\d+(\.\d+)+$/.test(line) ? line : null;
}

/** Memory of one MIG instance as `nvidia-smi -q -x` tells it. */
export interface MigMemory {
  readonly index: number;
  /** Compute instances of one GPU instance share its memory. */
  readonly gpuInstance: number;
  readonly totalMib: number | null;
  readonly usedMib: number | null;
}

/** By the UUID of their GPU. The report is flat enough to be read without an XML parser: its tags have no attributes here. */
export function parseMigMemory(xml: string): ReadonlyMap<string, readonly MigMemory[]> {
  const instances = new Map<string, readonly MigMemory[]>();
  for (const [, gpu = ''] of xml.matchAll(/<gpu id=[^>]*>([\s\S]*?)<\/gpu>/g)) {
    const blocks = /<mig_devices>([\s\S]*?)<\/mig_devices>/.exec(gpu)?.[1] ?? '';
    const uuid = /<uuid>\s*(GPU-[^<\s]+)\s*<\/uuid>/.exec(gpu.replace(blocks, ''))?.[1];
    if (uuid === undefined) continue;
    const found = [...blocks.matchAll(/<mig_device>([\s\S]*?)<\/mig_device>/g)];
    instances.set(
      uuid,
      found.map(([, block = '']) => parseMigBlock(block)),
    );
  }
  return instances;
}

function parseMigBlock(block: string): MigMemory {
  const text = (source: string, tag: string): string =>
    new RegExp(`<${tag}>\\s*([^<]*?)\\s*</${tag}>`).exec(source)?.[1] ?? '';
  const memory = /<fb_memory_usage>([\s\S]*?)<\/fb_memory_usage>/.exec(block)?.[1] ?? '';
  return {
    index: Number(text(block, 'index')),
    gpuInstance: Number(text(block, 'gpu_instance_id')),
    totalMib: mebibytes(text(memory, 'total')),
    usedMib: mebibytes(text(memory, 'used')),
  };
}
