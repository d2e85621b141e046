/** `vllm-gateway check`: reads a configuration as `serve` would and tells all its faults, without serving. */
import { loadStaticKeys } from '../access/static-keys.ts';
import type { Environment } from '../config/environment.ts';
import { formatFault } from '../config/fault.ts';
import type { HostFacts } from '../config/host-facts.ts';
import { loadConfig } from '../config/load.ts';
import type { ConfigOverrides } from '../config/overrides.ts';
import { redacted } from '../config/redact.ts';
import type { Notice, ResolvedConfig, ResolvedModel } from '../config/resolved-config.ts';
import { startupLines } from '../config/startup-lines.ts';
import { chooseParsers, type ParserChoice } from '../engines/vllm/parsers-choice.ts';
import { certificateWarning, readTlsPair } from '../http/tls-files.ts';
import { socketPathFault } from '../http/unix-socket.ts';
import { containerLine, maySleep, sleepNotices } from './container-notices.ts';
import { addressesText } from './listen-addresses.ts';
import { unfitNotices } from './unfit-notices.ts';

export interface CheckOptions {
  readonly file?: string | undefined;
  readonly environment: Environment;
  readonly overrides?: ConfigOverrides;
  readonly host?: HostFacts;
  /** Also print the whole configuration as it was understood, secrets hidden, as JSON. */
  readonly show?: boolean | undefined;
}

/** Where the report goes, such as `process.stdout`. */
export interface TextWriter {
  write(text: string): unknown;
}

/** The exit code: 0 for a good configuration, 1 for one with faults. */
export async function runCheck(options: CheckOptions, output: TextWriter): Promise<number> {
  const { show = false, ...load } = options;
  const loaded = await loadConfig(load);
  if (!loaded.ok) {
    const lines = loaded.error.map(formatFault);
    output.write(
      `${[...lines, `${counted(lines.length, 'fault')}; the gateway would not start.`].join('\n')}\n`,
    );
    return 1;
  }
  const config = loaded.value;
  const keys = await checkKeys(config);
  const addresses = await checkAddresses(config);
  const faults = [...keys.faults, ...addresses.faults];
  if (faults.length > 0) {
    output.write(`${faults.join('\n')}\nThe gateway would not start.\n`);
    return 1;
  }
  if (show) output.write(`${JSON.stringify(redacted(config), null, 2)}\n`);
  else {
    const unfit = await unfitNotices(config, options.environment);
    const notices = [...config.notices, ...sleepNotices(config), ...unfit];
    output.write(
      `${[...summary(config, notices, options.environment), ...keys.lines, ...addresses.lines].join('\n')}\n`,
    );
  }
  return 0;
}

/** The keys file is read as `serve` would; its lines are never repeated. */
async function checkKeys(config: ResolvedConfig): Promise<{ faults: string[]; lines: string[] }> {
  const file = config.server.apiKeysFile;
  if (file === null) return { faults: [], lines: [] };
  const loaded = await loadStaticKeys(file);
  if (!loaded.ok) {
    return {
      faults: loaded.error.map(({ line, text }) => `${file}${line === 0 ? '' : `:${line}`}: ${text}`),
      lines: [],
    };
  }
  const { keys, warnings } = loaded.value;
  return {
    faults: [],
    lines: [`${counted(keys.count, 'API key')}.`, ...warnings.map((text) => `warn: ${text}`)],
  };
}

/** Certificate and key are read and tried as `serve` would; nothing listens. */
async function checkAddresses(config: ResolvedConfig): Promise<{ faults: string[]; lines: string[] }> {
  const { tls, socketPath } = config.server;
  const socketFault = socketPath === null ? null : socketPathFault(socketPath);
  const faults = socketFault === null ? [] : [socketFault];
  if (tls === null) return { faults, lines: [] };
  const pair = await readTlsPair(tls);
  if (!pair.ok) return { faults: [...faults, pair.error], lines: [] };
  const warning = certificateWarning(pair.value, Date.now());
  return { faults, lines: warning === null ? [] : [`warn: ${warning}`] };
}

function summary(config: ResolvedConfig, notices: readonly Notice[], environment: Environment): string[] {
  const { auth } = config.server;
  const errors = notices.filter(({ level }) => level === 'error').length;
  const containers = containerLine(config);
  const verdict =
    errors === 0 ? 'no faults.' : `no faults that stop the start, but ${counted(errors, 'error')}:`;
  return [
    `${sourceOf(config)}: ${verdict}`,
    ...notices.toSorted(errorsFirst).map((notice) => `${notice.level}: ${notice.text}`),
    ...startupLines(config),
    `Listens on ${addressesText(config)} (authentication: ${auth}).`,
    ...(containers === null ? [] : [containers]),
    `${counted(config.models.size, 'model')}:`,
    ...[...config.models.values()].flatMap((model) => [
      `  ${modelLine(model, config)}`,
      ...parserLines(model, environment, config.runtime.kind === 'process'),
    ]),
  ];
}

function counted(count: number, what: string): string {
  return count === 1 ? `1 ${what}` : `${count} ${what}s`;
}

function errorsFirst(a: Notice, b: Notice): number {
  return Number(b.level === 'error') - Number(a.level === 'error');
}

function sourceOf(config: ResolvedConfig): string {
  switch (config.origin) {
    case 'file':
      return config.file ?? 'The file';
    case 'allowed_models_json':
      return 'ALLOWED_MODELS_JSON';
    case 'object':
      return 'The configuration';
    case 'demonstration':
      return 'The built-in demonstration';
  }
}

function modelLine(model: ResolvedModel, config: ResolvedConfig): string {
  if (model.url !== null) return `${model.name}: ${model.url.baseUrl}`;
  const { placementMode } = config.scheduling;
  const { deviceCount, memoryMibPerDevice, pool } = model.need;
  const shares = placementMode === 'budget' || model.colocate;
  const memory =
    memoryMibPerDevice === null
      ? shares
        ? 'sized by the gateway'
        : 'whole'
      : `${memoryMibPerDevice} MiB of each`;
  const where = pool === null ? '' : ` in pool ${pool}`;
  const devices = counted(deviceCount, 'device');
  const what = model.repo ?? model.command?.[0] ?? '';
  const parts = [
    `${model.engine} ${what}`,
    `${devices}${where}`,
    memory,
    ...unusual(model, maySleep(config)),
  ];
  return `${model.name}: ${parts.join(', ')}`;
}

function unusual({ alwaysOn, colocate, sleep, command }: ResolvedModel, sleeps: boolean): string[] {
  const isLevel2 = sleep === 'level_2';
  const isOff = sleep === 'off' && command === null;
  return [
    ...(alwaysOn ? ['always on'] : []),
    ...(colocate ? ['colocated'] : []),
    ...(isOff || (isLevel2 && !sleeps) ? ['never sleeps'] : []),
    ...(isLevel2 && sleeps ? ['sleeps at level 2'] : []),
  ];
}

/** What `tool_parser` and `reasoning_parser` come to, for models whose command line the gateway writes. */
function parserLines(model: ResolvedModel, environment: Environment, sharesHost: boolean): string[] {
  if (model.engine !== 'vllm' || model.command !== null) return [];
  const { tool, reasoning } = chooseParsers(model, environment, sharesHost);
  if (tool.parser === null && reasoning.parser === null && tool.why === reasoning.why)
    return [`    tool and reasoning parser: none (${tool.why})`];
  return [`    tool parser: ${parserText(tool)}; reasoning parser: ${parserText(reasoning)}`];
}

function parserText({ parser, why }: ParserChoice): string {
  return `${parser ?? 'none'} (${why})`;
}
