/** A stand-in for `nvidia-smi` that shows the ledger, in the documented formats that tools read. */
import { type DeviceUse, LEDGER_VARIABLE, type Ledger, openLedger } from '../ledger.ts';

const NO_DRIVER =
  "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.\n";

/** Runs once, or for ever with `-l SECONDS` / `-lms MILLISECONDS`. Returns nvidia-smi's exit code. */
export async function nvidiaSmi(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const directory = environment[LEDGER_VARIABLE];
  if (!directory) {
    process.stdout.write(NO_DRIVER);
    return 9;
  }
  const ledger = openLedger(directory);
  const everyMs = loopMs(argv);
  for (;;) {
    const printed = page(argv, ledger);
    process.stdout.write(printed.text);
    if (printed.code !== 0 || everyMs === null) return printed.code;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

function loopMs(argv: readonly string[]): number | null {
  for (const [at, word] of argv.entries()) {
    const [name, inline] = word.split('=');
    const value = Number(inline ?? argv[at + 1]);
    if (name === '-lms' || name === '--loop-ms') return value;
    if (name === '-l' || name === '--loop') return value * 1000;
  }
  return null;
}

interface Page {
  readonly text: string;
  readonly code: number;
}

function page(argv: readonly string[], ledger: Ledger): Page {
  const option = (name: string): string | null => {
    const found = argv.find((word) => word.startsWith(`${name}=`));
    if (found !== undefined) return found.slice(name.length + 1);
    const at = argv.indexOf(name);
    return at < 0 ? null : (argv[at + 1] ?? null);
  };
  if (argv.includes('-L') || argv.includes('--list-gpus')) return { text: list(ledger), code: 0 };
  const format = option('--format') ?? 'csv';
  const gpu = option('--query-gpu');
  if (gpu !== null) return table(gpu, format, ledger.read().map(gpuFields));
  const apps = option('--query-compute-apps');
  if (apps !== null) return table(apps, format, ledger.read().flatMap(appFields));
  return { text: overview(ledger), code: 0 };
}

function list(ledger: Ledger): string {
  return ledger.devices
    .map((device, index) => `GPU ${index}: ${device.name} (UUID: ${device.id})\n`)
    .join('');
}

type Fields = ReadonlyMap<string, readonly [string, 'MiB' | null]>;

function gpuFields(use: DeviceUse): Fields {
  const { device, usedMib } = use;
  return new Map([
    ['index', [String(use.index), null]],
    ['uuid', [device.id, null]],
    ['gpu_uuid', [device.id, null]],
    ['name', [device.name, null]],
    ['gpu_name', [device.name, null]],
    ['count', ['1', null]],
    ['driver_version', ['580.00', null]],
    ['memory.total', [String(device.totalMib), 'MiB']],
    ['memory.used', [String(usedMib), 'MiB']],
    ['memory.free', [String(device.totalMib - usedMib), 'MiB']],
    ['memory.reserved', ['0', 'MiB']],
    ['mig.mode.current', ['[N/A]', null]],
    ['utilization.gpu', ['[N/A]', null]],
    ['compute_mode', ['Default', null]],
  ]);
}

function appFields(use: DeviceUse): Fields[] {
  return use.claims.map(
    (claim) =>
      new Map([
        ['gpu_uuid', [use.device.id, null]],
        ['gpu_name', [use.device.name, null]],
        ['pid', [String(claim.pid), null]],
        ['process_name', [claim.processName, null]],
        ['name', [claim.processName, null]],
        ['used_memory', [String(claim.usedMib), 'MiB']],
        ['used_gpu_memory', [String(claim.usedMib), 'MiB']],
      ] as const),
  );
}

/** Columns as asked; the header carries the unit that the rows have (or, with nounits, would have). */
function table(query: string, format: string, rows: readonly Fields[]): Page {
  const options = format.split(',').map((part) => part.trim());
  if (!options.includes('csv')) return { text: `Error: unknown format "${format}"\n`, code: 2 };
  const columns = query.split(',').map((part) => part.trim());
  const known = new Set([...gpuFields(SAMPLE).keys(), ...APP_COLUMNS]);
  for (const column of columns) {
    if (!known.has(column)) return { text: `Field "${column}" is not a valid field to query.\n\n`, code: 2 };
  }
  const units = !options.includes('nounits');
  const lines: string[] = [];
  if (!options.includes('noheader')) {
    lines.push(columns.map((column) => (MEMORY_COLUMN.test(column) ? `${column} [MiB]` : column)).join(', '));
  }
  for (const row of rows) {
    lines.push(
      columns
        .map((column) => {
          const [value, unit] = row.get(column) ?? ['[N/A]', null];
          return unit !== null && units ? `${value} ${unit}` : value;
        })
        .join(', '),
    );
  }
  return { text: lines.map((line) => `${line}\n`).join(''), code: 0 };
}

const MEMORY_COLUMN = /^(memory\.|used_)/;
const APP_COLUMNS = ['pid', 'process_name', 'used_memory', 'used_gpu_memory'] as const;
const SAMPLE: DeviceUse = { device: { id: '', name: '', totalMib: 0 }, index: 0, usedMib: 0, claims: [] };

function overview(ledger: Ledger): string {
  const lines = ['Simulated devices'];
  for (const use of ledger.read()) {
    lines.push(`${use.index}  ${use.device.name}  ${use.usedMib}MiB / ${use.device.totalMib}MiB`);
    for (const claim of use.claims) lines.push(`   ${claim.pid}  ${claim.processName}  ${claim.usedMib}MiB`);
  }
  return `${lines.join('\n')}\n`;
}
