/**
 * Launches that we own, kept so that the next gateway finds them. One file a launch, because each is written while
 * others run and a torn one must not cost the rest.
 *
 *  L1. What `save` has resolved survives a power cut.
 *  L2. No environment is kept: it holds tokens.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { LaunchId } from '../core/ids.ts';
import { LAUNCH_ID } from '../core/ids.ts';
import type { ListenAddress } from '../engines/engine.ts';
import type { LaunchSpec, LaunchStage } from '../runtimes/runtime.ts';
import { syncDirectory, UNFINISHED_SUFFIX, writeDurably } from './durable-file.ts';

/** Identity of a process that no later process can have. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks between boot and the start, as /proc tells them; null where there is no /proc. */
  readonly startTicks: string | null;
  readonly bootId: string | null;
}

export interface LaunchRecord {
  readonly spec: Omit<LaunchSpec, 'environment'>;
  /** Which runtime started it, and finds it again. */
  readonly runtime: 'process' | 'docker';
  /** How far it was when this was kept. */
  readonly stage: LaunchStage;
  /** Null where the runtime keeps the output. */
  readonly outputFile: string | null;
  readonly startedWallMs: number;
  /** Null from the moment before the spawn until after it, and in containers. */
  readonly process: ProcessIdentity | null;
  /** Id of the container; null before it was made, and for processes. */
  readonly container: string | null;
}

export interface LaunchRecordList {
  readonly records: readonly LaunchRecord[];
  /** Launches whose record cannot be read: all that is known of them is their id. */
  readonly unreadable: readonly LaunchId[];
}

export interface LaunchRecords {
  /** Replaces the record of that launch. Rejects where it cannot be kept: what the next gateway could not find must not run. */
  save(record: LaunchRecord): Promise<void>;
  /** Of a launch without a record, nothing. Rejects where it cannot be kept. */
  setStage(launchId: LaunchId, stage: LaunchStage): Promise<void>;
  /** Of a launch without a record, nothing. Rejects where it cannot be kept. */
  remove(launchId: LaunchId): Promise<void>;
  list(): Promise<LaunchRecordList>;
}

const SUFFIX = '.json';
const FORMAT = 1;

/** `directory` is made if it is missing. */
export async function openLaunchRecords(directory: string): Promise<LaunchRecords> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const pathOf = (launchId: LaunchId): string => join(directory, launchId + SUFFIX);
  return {
    save: (record) =>
      writeDurably(
        pathOf(record.spec.launchId),
        JSON.stringify({ format: FORMAT, ...withoutEnvironment(record) }),
      ),
    async remove(launchId) {
      await rm(pathOf(launchId), { force: true });
      await syncDirectory(directory);
    },
    list: () => readAll(directory),
  };
}

/** L2, also for a caller whose object has more keys than its type says. */
function withoutEnvironment(record: LaunchRecord): LaunchRecord {
  const { launchId, model, argv, listen, deviceIds, memoryMibPerDevice, signature } = record.spec;
  return { ...record, spec: { launchId, model, argv, listen, deviceIds, memoryMibPerDevice, signature } };
}

async function readAll(directory: string): Promise<LaunchRecordList> {
  const records: LaunchRecord[] = [];
  const unreadable: LaunchId[] = [];
  for (const name of (await readdir(directory)).sort()) {
    const path = join(directory, name);
    if (name.endsWith(UNFINISHED_SUFFIX)) await rm(path, { force: true });
    const launchId = name.slice(0, -SUFFIX.length);
    if (!name.endsWith(SUFFIX) || !LAUNCH_ID.test(launchId)) continue;
    const record = parseRecord(await readFile(path, 'utf8'));
    if (record?.spec.launchId === launchId) records.push(record);
    else unreadable.push(launchId);
  }
  return { records, unreadable };
}

/** Null for anything that is not a record of this format. */
function parseRecord(text: string): LaunchRecord | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isObject(value) || value.format !== FORMAT || !isSpec(value.spec)) return null;
  const { spec, outputFile, startedWallMs, process } = value;
  if (typeof outputFile !== 'string' || typeof startedWallMs !== 'number') return null;
  if (process !== null && !isIdentity(process)) return null;
  return { spec, outputFile, startedWallMs, process };
}

function isSpec(value: unknown): value is LaunchRecord['spec'] {
  return (
    isObject(value) &&
    typeof value.launchId === 'string' &&
    typeof value.model === 'string' &&
    isStrings(value.argv) &&
    isAddress(value.listen) &&
    isStrings(value.deviceIds) &&
    typeof value.memoryMibPerDevice === 'number' &&
    typeof value.signature === 'string'
  );
}

function isAddress(value: unknown): value is ListenAddress {
  if (!isObject(value)) return false;
  if (value.kind === 'unix') return typeof value.socketPath === 'string';
  return value.kind === 'tcp' && typeof value.host === 'string' && typeof value.port === 'number';
}

function isIdentity(value: unknown): value is ProcessIdentity {
  return (
    isObject(value) &&
    typeof value.pid === 'number' &&
    Number.isSafeInteger(value.pid) &&
    value.pid > 1 &&
    isStringOrNull(value.startTicks) &&
    isStringOrNull(value.bootId)
  );
}

function isStringOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
