/**
 * Reads the JSON of AMD's tools. Pure. Written by their documentation and published outputs, not seen on a card: what is
 * not understood is null, and the source makes a condition of it.
 */

export interface AmdGpu {
  readonly index: number;
  /** As ROCR_VISIBLE_DEVICES takes it: `GPU-` and the unique id, or the index where the card has none. */
  readonly id: string;
  readonly name: string;
  readonly totalMib: number | null;
  readonly usedMib: number | null;
}

const MIB = 1024 * 1024;

/** `rocm-smi --showuniqueid --showproductname --showmeminfo vram --json`: an object of `card<N>`. */
export function parseRocmSmi(output: string): readonly AmdGpu[] | null {
  const root = parseJson(output);
  if (!isRecord(root)) return null;
  const gpus: AmdGpu[] = [];
  for (const [key, card] of Object.entries(root)) {
    const index = /^card(\d+)$/.exec(key)?.[1];
    if (index === undefined || !isRecord(card)) continue;
    const value = (name: string): string => {
      const found = Object.entries(card).find(([candidate]) => candidate.toLowerCase() === name);
      return found === undefined ? '' : String(found[1]);
    };
    gpus.push({
      index: Number(index),
      id: idOf(value('unique id'), Number(index)),
      name: value('card series') || value('card model') || 'AMD GPU',
      totalMib: bytesToMib(value('vram total memory (b)')),
      usedMib: bytesToMib(value('vram total used memory (b)')),
    });
  }
  return gpus;
}

/** `amd-smi static --asic --json` and `amd-smi metric --mem-usage --json`; null where the second is not understood. */
export function parseAmdSmi(staticOutput: string, metricOutput: string): readonly AmdGpu[] | null {
  const metrics = rowsOf(metricOutput);
  if (metrics === null) return null;
  const statics = rowsOf(staticOutput) ?? [];
  return metrics.map((row, position) => {
    const index = typeof row['gpu'] === 'number' ? row['gpu'] : position;
    const asic = statics.find((candidate) => candidate['gpu'] === index)?.['asic'];
    const memory = isRecord(row['mem_usage']) ? row['mem_usage'] : {};
    const { market_name: name, asic_serial: serial } = isRecord(asic) ? asic : {};
    return {
      index,
      id: idOf(typeof serial === 'string' ? serial : '', index),
      name: typeof name === 'string' && name !== 'N/A' ? name : 'AMD GPU',
      totalMib: megabytes(memory['total_vram']),
      usedMib: megabytes(memory['used_vram']),
    };
  });
}

/** Newer versions wrap the list in `gpu_data`. */
function rowsOf(output: string): readonly Record<string, unknown>[] | null {
  const root = parseJson(output);
  const list = isRecord(root) ? root['gpu_data'] : root;
  return Array.isArray(list) ? list.filter(isRecord) : null;
}

/** `{ value, unit: "MB" }`, by which the tool means 2^20 bytes; older versions print the number alone. */
function megabytes(cell: unknown): number | null {
  const value = isRecord(cell) ? cell['value'] : cell;
  const number = typeof value === 'string' && value !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) ? Math.round(number) : null;
}

function bytesToMib(text: string): number | null {
  return /^\d+$/.test(text) ? Math.round(Number(text) / MIB) : null;
}

function idOf(uniqueId: string, index: number): string {
  const digits = /^0x([0-9a-f]+)$/i.exec(uniqueId)?.[1];
  return digits === undefined || /^0+$/.test(digits)
    ? String(index)
    : `GPU-${digits.toLowerCase().padStart(16, '0')}`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The tools may print warnings before the JSON. Undefined when there is none. */
function parseJson(output: string): unknown {
  const start = output.search(/[[{]/);
  if (start < 0) return undefined;
  try {
    return JSON.parse(output.slice(start)) as unknown;
  } catch {
    return undefined;
  }
}
