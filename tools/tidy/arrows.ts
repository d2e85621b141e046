/**
 * Which folder of src/ may import from which: the arrows of ARCHITECTURE.md as a table. tools/tidy checks it, and
 * `npm run generate` writes it into biome.json, so that an editor shows a wrong import while it is typed.
 */

/** Decide and compute, and do nothing else: they also must not touch time, chance, the outside or a promise. */
const PURE_FOLDERS = ['scheduler', 'placement', 'sizing', 'planning'] as const;

/** Beside itself and core: folders, or single files of them. A folder that is missing here may not exist. */
export const ARROWS: Readonly<Record<string, readonly string[]>> = {
  core: [],
  sizing: [],
  placement: ['sizing'],
  scheduler: ['placement', 'sizing'],
  // What `plan` tells: questions to the pure parts.
  planning: ['placement', 'scheduler', 'sizing'],
  config: [],
  // Simulated devices show the memory that simulated engines have taken from their ledger.
  devices: ['config', 'engines/simulated/ledger.ts', 'telemetry'],
  // vLLM's parsers are chosen by what a model's files say.
  engines: ['config', 'readers/chat-facts.ts', 'telemetry'],
  store: ['config', 'telemetry'],
  readers: ['config', 'sizing', 'store', 'telemetry'],
  // Fetches models into the Hugging Face cache.
  weights: ['config', 'engines', 'readers', 'store', 'telemetry'],
  runtimes: ['config', 'store', 'telemetry'],
  proxy: ['telemetry'],
  telemetry: ['config'],
  access: ['config', 'telemetry'],
  http: ['access', 'config', 'control', 'proxy', 'telemetry'],
  control: [
    'config',
    'devices',
    'engines',
    'placement',
    'proxy',
    'readers',
    'runtimes',
    'scheduler',
    'sizing',
    'store',
    'telemetry',
    'weights',
  ],
  admin: ['access', 'config', 'control', 'http', 'telemetry'],
  // Gathers facts of all parts and judges them; nothing imports it but its command.
  doctor: ['config', 'devices', 'engines', 'readers', 'runtimes', 'store', 'telemetry'],
  // Runs the real control loop in a machine that is not there; nothing imports it but its command.
  simulator: [
    'config',
    'control',
    'devices',
    'engines',
    'placement',
    'proxy',
    'runtimes',
    'scheduler',
    'sizing',
    'store',
    'telemetry',
  ],
  cli: [
    'access',
    'admin',
    'config',
    'control',
    'devices',
    'doctor',
    'engines',
    'http',
    'placement',
    'planning',
    'proxy',
    'readers',
    'runtimes',
    'scheduler',
    'simulator',
    'sizing',
    'store',
    'telemetry',
    'weights',
  ],
};

/**
 * Files that hold nothing but the types of a port. Every folder may import them as types, except core and the pure
 * ones, which know no port.
 */
export const CONTRACTS: readonly string[] = [
  'config/resolved-config.ts',
  'control/gate.ts',
  'devices/device.ts',
  'engines/engine.ts',
  'proxy/endpoint-types.ts',
  'runtimes/runtime.ts',
  'scheduler/effects.ts',
  'scheduler/events.ts',
  'telemetry/activity.ts',
  'weights/fetcher.ts',
];

export function isPure(folder: string): boolean {
  return PURE_FOLDERS.some((pure) => pure === folder);
}

/** The folder below src/ of a path in the checkout. */
export function sourceFolder(file: string): string | undefined {
  return /^src\/([^/]+)\//.exec(file)?.[1];
}
