/**
 * `vllm-gateway engines`: which engines of a state directory are on record, and with `stop` the end of those that a gateway has
 * left running.
 */
import type { Environment } from '../config/environment.ts';
import { formatFault } from '../config/fault.ts';
import { loadConfig } from '../config/load.ts';
import type { ResolvedConfig } from '../config/resolved-config.ts';
import type { LaunchStage } from '../runtimes/runtime.ts';
import { type LaunchRecord, openLaunchRecords } from '../store/launch-records.ts';
import { openStateDatabase } from '../store/state-database.ts';
import { readStateOwner } from '../store/state-lock.ts';
import { openStateStore } from '../store/state-store.ts';
import type { TextWriter } from './check.ts';
import { endEngines } from './open-runtime.ts';
import { columns } from './text-layout.ts';

export interface EnginesOptions {
  /** Configuration file; absent: where `serve` would look. */
  readonly file?: string | undefined;
  readonly stateDirectory?: string | undefined;
  readonly json?: boolean | undefined;
  readonly environment: Environment;
}

/** Reads beside a running gateway and changes nothing. The exit code. */
export async function runEngines(options: EnginesOptions, output: TextWriter): Promise<number> {
  const config = await configOf(options, output);
  if (config === null) return 1;
  const directory = config.runtime.stateDirectory;
  const opened = openStateDatabase({
    directory,
    access: 'read',
    onFault: (text) => output.write(`${text}\n`),
  });
  if (!opened.ok) {
    output.write(`${opened.error}\n`);
    return 1;
  }
  const { records } = await (await openLaunchRecords(opened.value.database)).list();
  const owner = await readStateOwner(directory);
  if (options.json === true) {
    const gateway = owner?.isHeld === true ? { pid: owner.pid, address: owner.address } : null;
    output.write(`${JSON.stringify({ gateway, engines: records.map(jsonOf) }, null, 2)}\n`);
  } else {
    const by = owner?.isHeld === true ? `the gateway with pid ${owner.pid}` : 'no gateway';
    output.write(`${[...tableOf(records), `${records.length} on record, kept by ${by}.`].join('\n')}\n`);
  }
  opened.value.database.close();
  return 0;
}

/** Ends every engine on record. The exit code: 1 where a gateway runs there, or something is left. */
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
  const setup = { config, store, environment: { ...options.environment }, log };
  const ends = [await endEngines(setup, 'process'), await endEngines(setup, 'docker')];
  const left = (await store.launches.list()).records.length;
  await store.close();
  output.write(left === 0 ? 'No engine is left.\n' : `${left} engine(s) are left.\n`);
  return ends.every((isClean) => isClean) && left === 0 ? 0 : 1;
}

async function configOf(
  { file, stateDirectory, environment }: EnginesOptions,
  output: TextWriter,
): Promise<ResolvedConfig | null> {
  const overrides = stateDirectory === undefined ? {} : { stateDirectory };
  const loaded = await loadConfig({ file, environment, overrides });
  if (loaded.ok) return loaded.value;
  output.write(`${loaded.error.map(formatFault).join('\n')}\n`);
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
