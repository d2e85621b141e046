/**
 * Reads the original's environment into a layer of the same shape as the configuration file, so that both go through the
 * same schema. A value that the schema refuses is a fault with the variable's name (the four integers of R2 alone are
 * lenient). An empty variable counts as not given.
 */
import { ENVIRONMENT_VARIABLES, type EnvironmentVariable } from './environment-variables.ts';
import type { ConfigFault, ConfigPath, FaultOrigin } from './fault.ts';
import { readLegacyIntegers } from './legacy-integers.ts';
import { nearestOf } from './nearest.ts';
import type { LegacyLimits, Notice } from './resolved-config.ts';
import { layerSchema, type RawLayer } from './schema.ts';
import type { RawSource } from './source.ts';
import { validate } from './validate.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface EnvironmentReading {
  readonly layer: RawLayer;
  readonly source: RawSource;
  readonly legacy: LegacyLimits;
  /** Variables for vLLM engines alone. */
  readonly engineEnvironment: Readonly<Record<string, string>>;
  readonly noCudagraph: boolean;
  /** The gateway was started the way the original was. */
  readonly original: boolean;
  /** Variables that are given and have an effect only where engines run in containers. */
  readonly containerVariables: readonly string[];
  readonly notices: readonly Notice[];
  readonly faults: readonly ConfigFault[];
  /** What does not stop a start, but belongs into the list of one that other faults stop (R2). */
  readonly lenientFaults: readonly ConfigFault[];
}

/** What the original's container did, where nothing else is said. */
const ORIGINAL_HOST = '0.0.0.0';
const ORIGINAL_MIN_RESIDENCE_S = 90;
const PYTHON_LEVELS: Readonly<Record<string, string>> = {
  warning: 'warn',
  critical: 'fatal',
  notset: 'trace',
};

export function readEnvironment(environment: Environment): EnvironmentReading {
  const { limits, notices: integerNotices, faults: integerFaults } = readLegacyIntegers(environment);
  const original = isOriginal(environment);
  const raw = new RawLayerBuilder();
  if (original) {
    raw.set(['server', 'host'], ORIGINAL_HOST, null);
    raw.set(['scheduling', 'min_residence'], ORIGINAL_MIN_RESIDENCE_S, null);
  }
  raw.set(['defaults', 'queue_size'], limits.maxQueueSize, 'GATEWAY_MAX_QUEUE_SIZE');
  raw.set(['defaults', 'max_concurrent'], limits.maxConcurrent, 'GATEWAY_MAX_CONCURRENT');
  raw.set(['server', 'engine_timeout'], limits.httpTimeoutS, 'GATEWAY_HTTP_TIMEOUT');
  for (const variable of ENVIRONMENT_VARIABLES) {
    const text = given(environment, variable.name);
    if (text !== null && variable.sets !== undefined) {
      raw.set(variable.sets, plainValue(variable, text), variable.name);
    }
  }
  const cards = given(environment, 'GATEWAY_GPU_UUID');
  if (cards !== null) {
    raw.set(
      ['pools', 'default'],
      cards
        .split(',')
        .map((card) => card.trim())
        .filter((card) => card !== ''),
      'GATEWAY_GPU_UUID',
    );
  }
  const source = raw.source();
  const { value, faults } = validate(layerSchema, source);
  return {
    layer: value ?? {},
    source,
    legacy: limits,
    engineEnvironment: engineEnvironment(environment),
    noCudagraph: booleanOf(given(environment, 'VLLM_NO_CUDAGRAPH') ?? '') === true,
    original,
    containerVariables: ENVIRONMENT_VARIABLES.flatMap(({ name, ofContainers }) =>
      ofContainers === true && given(environment, name) !== null ? [name] : [],
    ),
    notices: [...integerNotices, ...ignoredNotices(environment), ...misspeltNotices(environment)],
    faults,
    lenientFaults: integerFaults,
  };
}

function given(environment: Environment, name: string): string | null {
  const text = environment[name];
  return text === undefined || text.trim() === '' ? null : text;
}

/** Only names that the original knew count: a foreign GATEWAY_ variable must not open the gateway to the network. */
function isOriginal(environment: Environment): boolean {
  return ENVIRONMENT_VARIABLES.some(({ name }) => {
    const ofGateway =
      name.startsWith('GATEWAY_') || name === 'ALLOWED_MODELS_JSON' || name === 'MODELS_CONFIG_FILE';
    return ofGateway && given(environment, name) !== null;
  });
}

class RawLayerBuilder {
  readonly #values: { readonly path: readonly string[]; readonly value: unknown }[] = [];
  readonly #variables = new Map<string, string>();

  set(path: readonly string[], value: unknown, variable: string | null): void {
    this.#values.push({ path, value });
    if (variable === null) this.#variables.delete(path.join('.'));
    else this.#variables.set(path.join('.'), variable);
  }

  source(): RawSource {
    const originOf = (path: ConfigPath): FaultOrigin => {
      for (let length = path.length; length > 0; length -= 1) {
        const variable = this.#variables.get(path.slice(0, length).join('.'));
        if (variable !== undefined) return { kind: 'environment', variable };
      }
      return { kind: 'built_in' };
    };
    return { value: nested(this.#values), originOf };
  }
}

/** One mapping of all values; of two for one path the later one holds. */
function nested(
  values: readonly { readonly path: readonly string[]; readonly value: unknown }[],
): Record<string, unknown> {
  const keys = new Set(values.flatMap(({ path }) => path.slice(0, 1)));
  const entries = [...keys].map((key) => {
    const below = values.filter(({ path }) => path[0] === key);
    const own = below.findLast(({ path }) => path.length === 1);
    const inner = below.map(({ path, value }) => ({ path: path.slice(1), value }));
    return [key, own === undefined ? nested(inner) : own.value];
  });
  return Object.fromEntries(entries);
}

function plainValue(variable: EnvironmentVariable, text: string): unknown {
  const trimmed = text.trim();
  if (variable.name === 'LOG_LEVEL') {
    const level = trimmed.toLowerCase();
    return PYTHON_LEVELS[level] ?? level;
  }
  if (variable.isText === true) return trimmed;
  if (variable.sets?.[1] === 'enforce_eager') return booleanOf(trimmed) ?? trimmed;
  return /^[+-]?\d+(\.\d+)?$/.test(trimmed) ? Number(trimmed) : trimmed;
}

function booleanOf(text: string): boolean | null {
  if (/^(1|true|yes|on)$/i.test(text.trim())) return true;
  return /^(0|false|no|off)$/i.test(text.trim()) ? false : null;
}

function engineEnvironment(environment: Environment): Record<string, string> {
  const libraries = given(environment, 'WORKER_LD_LIBRARY_PATH');
  return libraries === null ? {} : { LD_LIBRARY_PATH: libraries };
}

function ignoredNotices(environment: Environment): Notice[] {
  return ENVIRONMENT_VARIABLES.flatMap(({ name, ignored }) => {
    if (ignored === undefined || given(environment, name) === null) return [];
    return [{ level: 'info' as const, text: `${name} has no effect: ${ignored}` }];
  });
}

function misspeltNotices(environment: Environment): Notice[] {
  const known = ENVIRONMENT_VARIABLES.map(({ name }) => name);
  return Object.keys(environment).flatMap((name) => {
    if (!name.startsWith('GATEWAY_') || known.includes(name)) return [];
    const nearest = nearestOf(name, known);
    if (nearest === null) return [];
    return [{ level: 'warn' as const, text: `${name} is not known; did you mean ${nearest}?` }];
  });
}
