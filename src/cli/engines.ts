/**
 * `vllm-gateway engines`: which engines of a state directory are on record, and with `stop` the end of those that a gateway has
 * left running.
 */
import { stat } from 'node:fs/promises';
import type { Environment } from '../config/environment.ts';
import { formatFault } from '../config/fault.ts';
import { loadConfig } from '../config/load.ts';
import type { ResolvedConfig } from '../config/resolved-config.ts';
import { failure, type Result, success } from '../core/result.ts';
import type { LaunchStage } from '../runtimes/runtime.ts';
import { type LaunchRecord, openLaunchRecords } from '../store/launch-records.ts';
import { messageOf } from '../store/sqlite-file.ts';
import { openStateDatabase } from '../store/state-database.ts';
import { readStateOwner } from '../store/state-lock.ts';
import { openStateStore } from '../store/state-store.ts';
import type { TextWriter } from './check.ts';
import { type EndedEngines, endEngines } from './open-runtime.ts';
import { columns } from './text-layout.ts';

export interface EnginesOptions {
  /** Configuration file; absent: where `serve` would look. */
  readonly file?: string | undefined;
  readonly stateDirectory?: string | undefined;
  readonly json?: boolean | undefined;
  readonly environment: Environment;
}

/** Reads beside a running gateway and changes nothing. The exit code: 1 where the records cannot be read. */
export async function runEngines(options: EnginesOptions, output: TextWriter): Promise<number> {
  const config = await configOf(options, output);
  if (config === null) return 1;
  const directory = config.runtime.stateDirectory;
  const read = await readRecords(directory);
  if (!read.ok) {
    output.write(`${read.error}\n`);
    return 1;
  }
  const records = read.value;
  const owner = await readStateOwner(directory);
  if (options.json === true) {
    const gateway = owner?.isHeld === true ? { pid: owner.pid, address: owner.address } : null;
    output.write(`${JSON.stringify({ gateway, engines: records.map(jsonOf) }, null, 2)}\n`);
  } else {
    const by = owner?.isHeld === true ? `the gateway with pid ${owner.pid}` : 'no gateway';
    output.write(`${[...tableOf(records), `${records.length} on record, kept by ${by}.`].join('\n')}\n`);
  }
  return 0;
}

/** The error is what an operator has to know: nothing is said of engines then. */
async function readRecords(directory: string): Promise<Result<readonly LaunchRecord[], string>> {
  const faults: string[] = [];
  const opened = openStateDatabase({ directory, access: 'read', onFault: (text) => faults.push(text) });
  if (!opened.ok) return opened;
  const { database, notices } = opened.value;
  try {
    // A table of nothing for a file that cannot be read would say that no engine runs.
    if (notices.length > 0) return failure(notices.map(({ text }) => text).join('\n'));
    return success((await (await openLaunchRecords(database)).list()).records);
  } catch (error) {
    return failure([...faults, messageOf(error)].join('\n'));
  } finally {
    database.close();
  }
}

/**
 * Ends every engine on record, and those that carry the mark of the directory and are on none. The exit code: 1 where a gateway
 * runs there, or something is left.
 */
export async function runEnginesStop(options: EnginesOptions, output: TextWriter): Promise<number> {
  const config = await configOf(options, output);
  if (config === null) return 1;
  const log = (_level: string, text: string): void => void output.write(`${text}\n`);
  const opened = await openStateStore({
    directory: config.runtime.stateDirectory,
    onFault: (text) => log('warn', text),
  });
  if (!opened.ok) {
    output.write(`${opened.error}\n`);
    return 1;
  }
  const store = opened.value;
  for (const { level, text } of store.notices) log(level, text);
  const setup = { config, store, environment: { ...options.environment }, log };
  const ends = [await endEngines(setup, 'process'), await endEngines(setup, 'docker')];
  const { records, unreadable } = await store.launches.list();
  await store.close();
  const left = records.length + unreadable.length;
  const isClean = left === 0 && ends.every((end) => end.isClean);
  output.write(`${[...endedText(ends), leftText(left, isClean)].join(' ')}\n`);
  return isClean ? 0 : 1;
}

function endedText(ends: readonly EndedEngines[]): readonly string[] {
  const ended = ends.reduce((sum, end) => sum + end.ended, 0);
  const forgotten = ends.reduce((sum, end) => sum + end.forgotten.size, 0);
  if (ended === 0) return [];
  const unknown = forgotten === 0 ? '' : `, ${forgotten} of them in no record`;
  return [`${ended} engine(s) ended${unknown}.`];
}

function leftText(left: number, isClean: boolean): string {
  if (left > 0) return `${left} engine(s) are left.`;
  return isClean ? 'No engine is left.' : 'Something may be left.';
}

async function configOf(
  { file, stateDirectory, environment }: EnginesOptions,
  output: TextWriter,
): Promise<ResolvedConfig | null> {
  const overrides = stateDirectory === undefined ? {} : { stateDirectory };
  const loaded = await loadConfig({ file, environment, overrides });
  if (!loaded.ok) {
    output.write(`${loaded.error.map(formatFault).join('\n')}\n`);
    return null;
  }
  const directory = loaded.value.runtime.stateDirectory;
  // What is mistyped holds no engine, and making it would hide that.
  if ((await stat(directory).catch(() => null))?.isDirectory() === true) return loaded.value;
  output.write(
    `${directory} is no directory that can be looked into: no gateway has kept anything there; another one is named with --state-directory or --config\n`,
  );
  return null;
}

function tableOf(records: readonly LaunchRecord[]): readonly string[] {
  if (records.length === 0) return [];
  const rows = records.map((record) => [
    record.spec.model,
    stageText(record.stage),
    new Date(record.startedWallMs).toISOString().slice(0, 19).replace('T', ' '),
    record.spec.deviceIds.join(', '),
    placeOf(record),
  ]);
  return [...columns([['model', 'stage', 'started (UTC)', 'devices', 'where'], ...rows]), ''];
}

function stageText(stage: LaunchStage): string {
  const words = stage.kind.replace('_', ' ');
  return 'level' in stage ? `${words} (level ${stage.level})` : words;
}

function placeOf({ runtime, process, container }: LaunchRecord): string {
  if (runtime === 'docker')
    return container === null ? 'no container yet' : `container ${container.slice(0, 12)}`;
  return process === null ? 'not started' : `pid ${process.pid}`;
}

function jsonOf(record: LaunchRecord): object {
  const { spec, runtime, stage, process, container, startedWallMs, outputFile } = record;
  return {
    model: spec.model,
    launch_id: spec.launchId,
    stage: stage.kind,
    sleep_level: 'level' in stage ? stage.level : null,
    runtime,
    pid: process?.pid ?? null,
    container,
    devices: spec.deviceIds,
    memory_mib_per_device: spec.memoryMibPerDevice,
    started: new Date(startedWallMs).toISOString(),
    output: outputFile,
  };
}
