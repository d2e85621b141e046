/**
 * The four integers of the original's environment (R2). They alone are lenient: an invalid one is reported at level error
 * with its key, value, range and default, the default holds, and the start goes on.
 */
import { type ConfigFault, fault } from './fault.ts';
import type { LegacyLimits, Notice } from './resolved-config.ts';

interface LegacyInteger {
  /** Variables that set it, the strongest first. */
  readonly variables: readonly string[];
  readonly min: number;
  readonly max: number;
  readonly default: number;
}

export const LEGACY_INTEGERS: Readonly<Record<keyof LegacyLimits, LegacyInteger>> = {
  maxQueueSize: { variables: ['GATEWAY_MAX_QUEUE_SIZE'], min: 1, max: 10_000, default: 200 },
  maxConcurrent: { variables: ['GATEWAY_MAX_CONCURRENT'], min: 1, max: 1000, default: 50 },
  maxModelsConcurrent: { variables: ['GATEWAY_MAX_MODELS_CONCURRENT'], min: 1, max: 20, default: 3 },
  httpTimeoutS: {
    variables: ['GATEWAY_REQUEST_TIMEOUT', 'GATEWAY_HTTP_TIMEOUT'],
    min: 60,
    max: 3600,
    default: 300,
  },
};

interface LegacyReading {
  readonly limits: LegacyLimits;
  readonly notices: readonly Notice[];
  /** The same for a list of faults: where others stop the start, these are to be mended along with them. */
  readonly faults: readonly ConfigFault[];
}

export function readLegacyIntegers(environment: Readonly<Record<string, string | undefined>>): LegacyReading {
  const notices: Notice[] = [];
  const faults: ConfigFault[] = [];
  const read = (integer: LegacyInteger): number => {
    const variable = integer.variables.find((name) => environment[name] !== undefined);
    if (variable === undefined) return integer.default;
    const text = environment[variable] ?? '';
    const value = /^[+-]?\d{1,15}$/.test(text.trim()) ? Number(text) : Number.NaN;
    if (value >= integer.min && value <= integer.max) return value;
    const range = `${integer.min}..${integer.max}`;
    const found = JSON.stringify(text.slice(0, 40));
    notices.push({
      level: 'error',
      text: `${variable}=${found} is not an integer in the range ${range}; using the default ${integer.default}`,
    });
    const problem = `not an integer in the range; by itself it would fall back to the default ${integer.default}`;
    const origin = { kind: 'environment', variable } as const;
    faults.push(fault('invalid_value', origin, [], problem, { found, allowed: range }));
    return integer.default;
  };
  const limits: LegacyLimits = {
    maxQueueSize: read(LEGACY_INTEGERS.maxQueueSize),
    maxConcurrent: read(LEGACY_INTEGERS.maxConcurrent),
    maxModelsConcurrent: read(LEGACY_INTEGERS.maxModelsConcurrent),
    httpTimeoutS: read(LEGACY_INTEGERS.httpTimeoutS),
  };
  return { limits, notices, faults };
}
