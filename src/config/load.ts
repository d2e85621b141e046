/**
 * The one way to a configuration: finds where it comes from, reads all layers, checks everything, and resolves.
 *
 * Where models come from, the first that is there: `file` (--config), MODELS_CONFIG_FILE, the original's default path,
 * ALLOWED_MODELS_JSON, the demonstration.
 *
 * Invariants
 *  L1. Whatever the input is, the result is a configuration or a list of faults, never a throw.
 *  L2. All faults of all layers come in one list; only unreadable YAML hides those behind it.
 */
import { readFile } from 'node:fs/promises';
import { failure, type Result, success } from '../core/result.ts';
import { checkConfig } from './check.ts';
import { DEMONSTRATION } from './demonstration.ts';
import { type Environment, type EnvironmentReading, readEnvironment } from './environment.ts';
import { type ConfigFault, fault } from './fault.ts';
import { gatherHostFacts, type HostFacts } from './host-facts.ts';
import type { Layers } from './layers.ts';
import { type ConfigOverrides, overridesSource } from './overrides.ts';
import { resolveConfig } from './resolve.ts';
import type { Notice, ResolvedConfig } from './resolved-config.ts';
import { runtimeKindOf } from './runtime-kind.ts';
import { configSchema, layerSchema, type RawConfig } from './schema.ts';
import { readSecrets } from './secrets.ts';
import { type RawSource, uniformSource, valueAt } from './source.ts';
import { type Validated, validate } from './validate.ts';

/** Where the original's container had its file. */
const ORIGINAL_FILE = '/app/config/models.yaml';

export interface LoadOptions {
  /** The file of `--config`; it must exist. */
  readonly file?: string | undefined;
  /** A configuration in the shape of the file, for programs; used instead of any file. */
  readonly object?: unknown;
  readonly environment: Environment;
  readonly overrides?: ConfigOverrides;
  /** What is known of this machine; by default it is looked for. */
  readonly host?: HostFacts;
}

type Faults = readonly ConfigFault[];

export async function loadConfig(options: LoadOptions): Promise<Result<ResolvedConfig, Faults>> {
  const reading = readEnvironment(options.environment);
  const loaded = await loadLayers(options, reading);
  return loaded.ok ? loaded : failure([...reading.lenientFaults, ...loaded.error]);
}

async function loadLayers(
  options: LoadOptions,
  reading: EnvironmentReading,
): Promise<Result<ResolvedConfig, Faults>> {
  const { environment } = options;
  const flagsSource = overridesSource(options.overrides ?? {});
  const flags = validate(layerSchema, flagsSource);
  const outerFaults = [...flags.faults, ...reading.faults];
  const found = await findModels(options);
  if (!found.ok) return failure([...outerFaults, ...found.error]);
  const { source, file, origin, notices } = found.value;
  const raw = validate(configSchema, source);
  const early = [...outerFaults, ...raw.faults];
  if (raw.value === null) return failure(early);
  const layers: Layers = {
    flags: { layer: flags.value ?? {}, source: flagsSource },
    file: { config: raw.value, source },
    environment: { layer: reading.layer, source: reading.source },
  };
  const secrets = await readSecrets(layers, file, environment);
  const host = options.host ?? (await gatherHostFacts(environment));
  const runtimeKind = runtimeKindOf({ layers, reading, host });
  const { original } = reading;
  const later = checkConfig({ layers, original, runtimeKind, host, ...leftOut(raw, source) });
  const faults = [...early, ...later, ...secrets.faults];
  if (faults.length > 0) return failure(inOrder(faults));
  const { apiKeys } = secrets;
  return success(
    resolveConfig({ layers, file, origin, environment, reading, runtimeKind, host, apiKeys, notices }),
  );
}

function leftOut(raw: Validated<RawConfig>, source: RawSource) {
  const models = valueAt(source.value, ['models']);
  const modelNames = models !== null && typeof models === 'object' ? Object.keys(models) : [];
  const incomplete = raw.removed
    .filter((path) => path[0] === 'models' && path.length > 1)
    .map((path) => String(path[1]));
  return { modelNames, incomplete: new Set(incomplete) };
}

/** Top to bottom within the file, as its reader mends it; what has no line comes first. */
function inOrder(faults: Faults): Faults {
  const lineOf = ({ origin }: ConfigFault) => (origin.kind === 'file' ? (origin.line ?? 0) : 0);
  const columnOf = ({ origin }: ConfigFault) => (origin.kind === 'file' ? (origin.column ?? 0) : 0);
  return faults.toSorted((a, b) => lineOf(a) - lineOf(b) || columnOf(a) - columnOf(b));
}

interface Found {
  readonly source: RawSource;
  readonly file: string | null;
  readonly origin: ResolvedConfig['origin'];
  readonly notices: readonly Notice[];
}

async function findModels(options: LoadOptions): Promise<Result<Found, Faults>> {
  const { environment } = options;
  if (options.object !== undefined)
    return found(uniformSource(options.object, { kind: 'built_in' }), 'object');
  if (options.file !== undefined) return fromFile(options.file);
  const named = environment.MODELS_CONFIG_FILE?.trim() || null;
  const json = environment.ALLOWED_MODELS_JSON?.trim() || null;
  const text = await readText(named ?? ORIGINAL_FILE);
  if (text !== 'missing' || (named !== null && json === null)) return fromText(text, named ?? ORIGINAL_FILE);
  if (json === null) return found(uniformSource(DEMONSTRATION, { kind: 'built_in' }), 'demonstration');
  // The original's default: with models in the environment, nobody misses the file.
  if (named === ORIGINAL_FILE) return fromAllowedModels(json, []);
  const notice = {
    level: 'warn' as const,
    text: `MODELS_CONFIG_FILE=${named} does not exist; ALLOWED_MODELS_JSON is used`,
  };
  return fromAllowedModels(json, named === null ? [] : [notice]);
}

function found(
  source: RawSource,
  origin: Found['origin'],
  notices: readonly Notice[] = [],
  file: string | null = null,
): Result<Found, Faults> {
  return success({ source, file, origin, notices });
}

async function fromFile(file: string): Promise<Result<Found, Faults>> {
  return fromText(await readText(file), file);
}

type FileText = { readonly text: string } | { readonly problem: string } | 'missing';

async function readText(file: string): Promise<FileText> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    return code === 'ENOENT' || code === 'ENOTDIR'
      ? 'missing'
      : { problem: `the file cannot be read (${code})` };
  }
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch {
    return { problem: 'the file is not UTF-8' };
  }
}

async function fromText(text: FileText, file: string): Promise<Result<Found, Faults>> {
  const whole = { kind: 'file', file, line: null, column: null } as const;
  if (text === 'missing') {
    const allowed =
      file === ORIGINAL_FILE ? 'a file that is mounted there, or models in ALLOWED_MODELS_JSON' : null;
    return failure([fault('unreadable', whole, [], 'the file does not exist', { allowed })]);
  }
  if ('problem' in text) return failure([fault('unreadable', whole, [], text.problem)]);
  // The YAML parser costs some 20 ms of start-up, which the demonstration does not need.
  const { readYaml } = await import('./yaml-source.ts');
  const read = readYaml(text.text, file);
  if (!read.ok) return read;
  if (read.value.value !== null) return found(read.value, 'file', [], file);
  return failure([fault('missing', whole, [], 'the file is empty', { allowed: 'a mapping with `models`' })]);
}

function fromAllowedModels(json: string, notices: readonly Notice[]): Result<Found, Faults> {
  const origin = { kind: 'environment', variable: 'ALLOWED_MODELS_JSON' } as const;
  const allowed = 'a JSON object as {"name": "repo"}';
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    return failure([fault('syntax', origin, [], 'not valid JSON', { allowed })]);
  }
  if (parsed === null || typeof parsed !== 'object' || Array.isArray(parsed)) {
    return failure([fault('invalid_value', origin, [], 'not acceptable', { allowed })]);
  }
  const models = Object.entries(parsed).map(([name, repo]) => [name, { repo }]);
  return found(uniformSource({ models: Object.fromEntries(models) }, origin), 'allowed_models_json', notices);
}
