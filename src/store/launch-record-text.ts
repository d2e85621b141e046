/** A launch's record as text, for the database and for files, and what was written by earlier versions. Pure. */
import type { DeviceId } from '../core/ids.ts';
import type { DeviceSourceName, ListenAddress } from '../engines/engine.ts';
import type { LaunchStage } from '../runtimes/runtime.ts';
import type { LaunchRecord, ProcessIdentity } from './launch-records.ts';

const FORMAT = 2;
/** Files without stage, runtime and container: of processes that served. */
const FIRST_FORMAT = 1;

const DEVICE_SOURCES: readonly DeviceSourceName[] = ['nvidia', 'amd', 'simulated', 'host'];

export function launchRecordText(record: LaunchRecord): string {
  return JSON.stringify({ format: FORMAT, ...withoutSecrets(record) });
}

/** L2 of launch-records.ts, also for a caller whose object has more keys than its type says. */
export function withoutSecrets({ spec, runtime, stage, ...rest }: LaunchRecord): LaunchRecord {
  const { launchId, model, argv, listen, image, deviceSource, files } = spec;
  const { deviceIds, memoryMibPerDevice, signature } = spec;
  const { outputFile, startedWallMs, process, container } = rest;
  const kept = { launchId, model, argv, listen, image, deviceSource, files };
  return {
    spec: { ...kept, deviceIds, memoryMibPerDevice, signature },
    ...{ runtime, stage, outputFile, startedWallMs, process, container },
  };
}

/** Null for anything that is not a record of a known format. */
export function parseLaunchRecord(text: string): LaunchRecord | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isObject(value)) return null;
  if (value['format'] === FIRST_FORMAT) return isObject(value['spec']) ? recordIn(renewed(value)) : null;
  return value['format'] === FORMAT ? recordIn(value) : null;
}

/** Null for what is no stage. */
export function stageOf(kind: unknown, level: unknown): LaunchStage | null {
  if (kind === 'starting' || kind === 'serving' || kind === 'stopping') return { kind };
  const sleeps = kind === 'falling_asleep' || kind === 'asleep' || kind === 'waking';
  return sleeps && (level === 1 || level === 2) ? { kind, level } : null;
}

type Objects = Readonly<Record<string, unknown>>;

function renewed(first: Objects): Objects {
  const spec = isObject(first['spec']) ? first['spec'] : {};
  const deviceIds = isStrings(spec['deviceIds']) ? spec['deviceIds'] : [];
  const added = { image: null, files: [], deviceSource: deviceSourceOf(deviceIds) };
  return {
    ...first,
    spec: { ...spec, ...added },
    ...{ runtime: 'process', stage: { kind: 'serving' }, container: null },
  };
}

/** The first format did not say; the names do. */
function deviceSourceOf(deviceIds: readonly DeviceId[]): DeviceSourceName {
  if (deviceIds.length === 0 || deviceIds.includes('host')) return 'host';
  return deviceIds.every((id) => /^(GPU|MIG)-/.test(id)) ? 'nvidia' : 'simulated';
}

function recordIn(value: Objects): LaunchRecord | null {
  const { spec, runtime, outputFile, startedWallMs, process, container } = value;
  const stage = isObject(value['stage']) ? stageOf(value['stage']['kind'], value['stage']['level']) : null;
  if (!isSpec(spec) || stage === null || (runtime !== 'process' && runtime !== 'docker')) return null;
  if (!isStringOrNull(outputFile) || !isStringOrNull(container)) return null;
  if (typeof startedWallMs !== 'number' || (process !== null && !isIdentity(process))) return null;
  return withoutSecrets({ spec, runtime, stage, outputFile, startedWallMs, process, container });
}

function isSpec(value: unknown): value is LaunchRecord['spec'] {
  return (
    isObject(value) &&
    typeof value['launchId'] === 'string' &&
    typeof value['model'] === 'string' &&
    isStrings(value['argv']) &&
    isAddress(value['listen']) &&
    isStringOrNull(value['image']) &&
    DEVICE_SOURCES.some((source) => source === value['deviceSource']) &&
    isStrings(value['files']) &&
    isStrings(value['deviceIds']) &&
    typeof value['memoryMibPerDevice'] === 'number' &&
    typeof value['signature'] === 'string'
  );
}

function isAddress(value: unknown): value is ListenAddress {
  if (!isObject(value)) return false;
  if (value['kind'] === 'unix') return typeof value['socketPath'] === 'string';
  return value['kind'] === 'tcp' && typeof value['host'] === 'string' && typeof value['port'] === 'number';
}

function isIdentity(value: unknown): value is ProcessIdentity {
  if (!isObject(value)) return false;
  const { pid, startTicks, bootId } = value;
  const isPid = typeof pid === 'number' && Number.isSafeInteger(pid) && pid > 1;
  return isPid && isStringOrNull(startTicks) && isStringOrNull(bootId);
}

function isStringOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function isObject(value: unknown): value is Objects {
  return typeof value === 'object' && value !== null;
}
