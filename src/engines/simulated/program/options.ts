/**
 * The command line of `vllm-sim serve`: vLLM's own flags with argparse's rules (abbreviations, dashes or underscores,
 * `--no-…`, exit code 2), and the `--sim-…` flags that say what is simulated.
 */
import { type Faults, parseFaults } from './faults.ts';
import { BOOLEAN_FLAGS, LIST_FLAGS, LONG_ALIASES, SHORT_FLAGS, SWITCH_FLAGS, VALUE_FLAGS } from './flags.ts';
import { SIM_SWITCHES, SIM_VALUES, type SimFlagName, simDefault } from './sim-flags.ts';

const SIM_TASKS = ['generate', 'embed', 'classify', 'transcription'] as const;
export type SimTask = (typeof SIM_TASKS)[number];
export type AnswerMode = 'words' | 'echo';

export interface SimOptions {
  readonly model: string;
  /** Null: the model's own. */
  readonly tokenizer: string | null;
  /** Accepted names; the first one stands in answers and metrics. Never empty. */
  readonly servedNames: readonly [string, ...string[]];
  readonly host: string | null;
  readonly port: number;
  readonly socketPath: string | null;
  readonly rootPath: string;
  readonly apiKeys: readonly string[];
  /** Null: the model's own. */
  readonly maxModelLen: number | null;
  readonly maxNumSeqs: number;
  readonly maxQueuedRequests: number | null;
  readonly gpuMemoryUtilization: number;
  readonly kvCacheMemoryBytes: number | null;
  readonly tensorParallelSize: number;
  readonly enableSleepMode: boolean;
  readonly enforceEager: boolean;
  readonly shutdownTimeoutS: number;
  readonly echoRequestIds: boolean;
  readonly forceIncludeUsage: boolean;
  readonly trackServerLoad: boolean;
  /** Pause after which an idle stream gets a comment; 0: never. */
  readonly sseKeepAliveS: number;
  readonly tokenizerInfo: boolean;
  readonly scaleOut: boolean;
  readonly disableLogStats: boolean;
  readonly disableDocs: boolean;
  readonly accessLog: boolean;
  readonly accessLogExcluded: ReadonlySet<string>;
  readonly loras: ReadonlyMap<string, string>;
  readonly autoToolChoice: boolean;
  readonly toolCallParser: string | null;
  /** As vLLM logs them: flag with underscores and its value. */
  readonly nonDefault: Readonly<Record<string, unknown>>;
  readonly environment: SimEnvironment;
  readonly sim: SimSettings;
}

/** What vLLM reads from its environment. */
export interface SimEnvironment {
  readonly developmentMode: boolean;
  readonly runtimeLora: boolean;
  readonly responsesStore: boolean;
  readonly keepAliveOnEngineDeath: boolean;
  readonly keepAliveS: number;
  /** VLLM_MAX_AUDIO_CLIP_FILESIZE_MB: a larger recording is refused. */
  readonly audioFileMib: number;
  /** As given; null when unset. */
  readonly visibleDevices: string | null;
  readonly ledgerDirectory: string | null;
  /** HF_HUB_OFFLINE: a hub may not be asked. */
  readonly isOffline: boolean;
}

export interface SimSettings {
  readonly task: SimTask;
  readonly loadS: number;
  /** Memory of a ready engine on each device; null: all that the utilisation allows, as vLLM takes it. */
  readonly memoryMib: number | null;
  readonly weightsMib: number | null;
  readonly sleepResidualMib: number | null;
  readonly overheadMib: number;
  readonly hostMib: number;
  readonly kvBytesPerToken: number;
  readonly modelLength: number;
  /** Tokens a second of each sequence; 0: all at once. */
  readonly tokensPerSecond: number;
  readonly prefillTokensPerSecond: number;
  readonly sleepS: number;
  readonly wakeS: number;
  /** Factor on every simulated duration. */
  readonly timeScale: number;
  readonly answer: AnswerMode;
  /** Length of an answer that nothing else bounds; null: 12 to 27 tokens, by the prompt. */
  readonly answerTokens: number | null;
  readonly embeddingSize: number;
  readonly engineCore: boolean;
  readonly faults: Faults;
  readonly faultOnceFile: string | null;
  readonly requestLogFile: string | null;
}

export type OptionsResult =
  | { readonly ok: true; readonly options: SimOptions }
  /** `text` goes to stderr, and the process ends with code 2, as argparse does. */
  | { readonly ok: false; readonly text: string };

const KNOWN = new Set<string>([
  ...VALUE_FLAGS,
  ...LIST_FLAGS,
  ...SWITCH_FLAGS,
  ...BOOLEAN_FLAGS,
  ...BOOLEAN_FLAGS.map((name) => `no-${name}`),
  ...LONG_ALIASES.keys(),
  ...SIM_VALUES.keys(),
  ...SIM_SWITCHES.keys(),
]);
/** Flags that keep every value they are given; of others the last one counts. */
const REPEATED: ReadonlySet<string> = new Set(['sim-fault', 'sim-refuse-flag', 'middleware']);
const TAKES_LIST = new Set(LIST_FLAGS).add('lora-modules');
const TAKES_NOTHING = new Set<string>([
  ...SWITCH_FLAGS,
  ...BOOLEAN_FLAGS,
  ...BOOLEAN_FLAGS.map((name) => `no-${name}`),
  ...SIM_SWITCHES.keys(),
]);

class UsageError extends Error {}

/** Reads what follows `serve`. */
export function parseOptions(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): OptionsResult {
  try {
    return { ok: true, options: resolve(collect(argv), environment) };
  } catch (error) {
    if (error instanceof UsageError) {
      return {
        ok: false,
        text: `usage: vllm-sim serve [model_tag] [options]\nvllm-sim: error: ${error.message}\n`,
      };
    }
    throw error;
  }
}

interface Collected {
  readonly positional: readonly string[];
  readonly values: ReadonlyMap<string, readonly string[]>;
}

function collect(argv: readonly string[]): Collected {
  const positional: string[] = [];
  const values = new Map<string, string[]>();
  const unrecognized: string[] = [];
  const refused = refusedFlags(argv);
  for (let at = 0; at < argv.length; at++) {
    const word = (argv[at] ?? '').replace(/^-O(\d)$/, '--optimization-level=$1');
    if (!word.startsWith('-') || word === '-') {
      positional.push(word);
      continue;
    }
    const equals = word.indexOf('=');
    const spelled = equals < 0 ? word : word.slice(0, equals);
    const name = flagName(spelled);
    if (name === null || refused.has(name)) {
      unrecognized.push(word);
      continue;
    }
    const given: string[] = equals < 0 ? [] : [word.slice(equals + 1)];
    if (!TAKES_NOTHING.has(name) && equals < 0) {
      const most = TAKES_LIST.has(name) ? Number.POSITIVE_INFINITY : 1;
      while (given.length < most) {
        const next = argv[at + 1];
        if (next === undefined || isFlag(next)) break;
        given.push(next);
        at++;
      }
      if (given.length === 0)
        throw new UsageError(`argument ${spelled}: expected ${most === 1 ? 'one' : 'at least one'} argument`);
    }
    values.set(name, REPEATED.has(name) ? [...(values.get(name) ?? []), ...given] : given);
  }
  if (positional.length > 1) unrecognized.push(...positional.slice(1));
  if (unrecognized.length > 0) throw new UsageError(`unrecognized arguments: ${unrecognized.join(' ')}`);
  return { positional, values };
}

/** Known before the rest is read, since a refused flag takes no values: they stand among the arguments nobody knows. */
function refusedFlags(argv: readonly string[]): ReadonlySet<string> {
  const found = argv.flatMap((word, at) => {
    if (word === '--sim-refuse-flag') return argv[at + 1] ?? [];
    return word.startsWith('--sim-refuse-flag=') ? word.slice(word.indexOf('=') + 1) : [];
  });
  return new Set(found.map((name) => name.replace(/^--/, '').replaceAll('_', '-')));
}

function isFlag(word: string): boolean {
  return word.startsWith('-') && word !== '-' && !/^-\d+(\.\d+)?$/.test(word);
}

function flagName(spelled: string): string | null {
  if (!spelled.startsWith('--')) return SHORT_FLAGS.get(spelled) ?? null;
  const name = spelled.slice(2).replaceAll('_', '-');
  if (KNOWN.has(name)) return LONG_ALIASES.get(name) ?? name;
  const matches = [...KNOWN].filter((known) => known.startsWith(name));
  if (matches.length > 1 && matches.length < 20) {
    throw new UsageError(
      `ambiguous option: ${spelled} could match ${matches.map((match) => `--${match}`).join(', ')}`,
    );
  }
  return matches.length === 1 ? (matches[0] ?? null) : null;
}

function resolve(
  collected: Collected,
  environment: Readonly<Record<string, string | undefined>>,
): SimOptions {
  const { values } = collected;
  const text = (name: string): string | null => values.get(name)?.[0] ?? null;
  const list = (name: string): readonly string[] => values.get(name) ?? [];
  const has = (name: string): boolean => values.has(name) && !values.has(`no-${name}`);
  const model = collected.positional[0] ?? text('model') ?? 'Qwen/Qwen3-0.6B';
  const [firstName = model, ...otherNames] = list('served-model-name');
  const keys = list('api-key');
  const environmentKey = environment['VLLM_API_KEY'];
  return {
    model,
    tokenizer: text('tokenizer'),
    servedNames: [firstName, ...otherNames],
    host: text('host'),
    port: integer('port', text('port')) ?? 8000,
    socketPath: text('uds'),
    rootPath: text('root-path') ?? '',
    apiKeys: keys.length > 0 ? keys : environmentKey ? [environmentKey] : [],
    maxModelLen: modelLength(text('max-model-len')),
    maxNumSeqs: integer('max-num-seqs', text('max-num-seqs')) ?? 256,
    maxQueuedRequests: integer('max-num-queued-reqs', text('max-num-queued-reqs')),
    gpuMemoryUtilization: number('gpu-memory-utilization', text('gpu-memory-utilization')) ?? 0.92,
    kvCacheMemoryBytes: humanInteger('kv-cache-memory-bytes', text('kv-cache-memory-bytes')),
    tensorParallelSize: integer('tensor-parallel-size', text('tensor-parallel-size')) ?? 1,
    enableSleepMode: has('enable-sleep-mode'),
    enforceEager: has('enforce-eager') || text('optimization-level') === '0',
    shutdownTimeoutS: integer('shutdown-timeout', text('shutdown-timeout')) ?? 0,
    echoRequestIds: has('enable-request-id-headers'),
    forceIncludeUsage: has('enable-force-include-usage'),
    trackServerLoad: has('enable-server-load-tracking'),
    sseKeepAliveS: number('sse-keep-alive-interval', text('sse-keep-alive-interval')) ?? 0,
    tokenizerInfo: has('enable-tokenizer-info-endpoint'),
    scaleOut: has('enable-scale-out') || has('tokens-only'),
    disableLogStats: has('disable-log-stats'),
    disableDocs: has('disable-fastapi-docs'),
    accessLog: !has('disable-uvicorn-access-log'),
    accessLogExcluded: new Set((text('disable-access-log-for-endpoints') ?? '').split(',').filter(Boolean)),
    loras: new Map(list('lora-modules').map(loraModule)),
    autoToolChoice: has('enable-auto-tool-choice'),
    toolCallParser: text('tool-call-parser'),
    nonDefault: nonDefault(model, values),
    environment: readEnvironment(environment),
    sim: resolveSim(values, model, text('runner')),
  };
}

function resolveSim(
  values: ReadonlyMap<string, readonly string[]>,
  model: string,
  runner: string | null,
): SimSettings {
  const text = (name: SimFlagName): string | null => values.get(name)?.[0] ?? simDefault(name);
  const amount = (name: SimFlagName): number => number(name, text(name)) ?? 0;
  const optional = (name: SimFlagName): number | null => number(name, text(name));
  const faults = parseFaults(values.get('sim-fault') ?? []);
  if (!faults.ok) throw new UsageError(`argument --sim-fault: invalid choice: '${faults.detail}'`);
  return {
    task: choice('sim-task', text('sim-task'), SIM_TASKS) ?? guessTask(model, runner),
    loadS: amount('sim-load-seconds'),
    memoryMib: optional('sim-memory-mib'),
    weightsMib: optional('sim-weights-mib'),
    sleepResidualMib: optional('sim-sleep-residual-mib'),
    overheadMib: amount('sim-overhead-mib'),
    hostMib: amount('sim-host-mib'),
    kvBytesPerToken: Math.max(1, amount('sim-kv-bytes-per-token')),
    modelLength: amount('sim-model-length'),
    tokensPerSecond: amount('sim-tokens-per-second'),
    prefillTokensPerSecond: amount('sim-prefill-tokens-per-second'),
    sleepS: amount('sim-sleep-seconds'),
    wakeS: amount('sim-wake-seconds'),
    timeScale: amount('sim-time-scale'),
    answer: choice('sim-answer', text('sim-answer'), ['words', 'echo']) ?? 'words',
    answerTokens: optional('sim-answer-tokens'),
    embeddingSize: amount('sim-embedding-size'),
    engineCore: !values.has('sim-no-engine-core'),
    faults: faults.faults,
    faultOnceFile: text('sim-fault-once'),
    requestLogFile: text('sim-request-log'),
  };
}

/** vLLM picks pooling from the architecture; all that we have of a model is its name. */
function guessTask(model: string, runner: string | null): SimTask {
  if (runner !== 'pooling' && /whisper/i.test(model)) return 'transcription';
  if (runner === 'generate') return 'generate';
  if (/rerank|classif/i.test(model)) return 'classify';
  if (runner === 'pooling' || /embed|minilm|bge-|gte-|e5-/i.test(model)) return 'embed';
  return 'generate';
}

function readEnvironment(environment: Readonly<Record<string, string | undefined>>): SimEnvironment {
  const on = (name: string): boolean => Number(environment[name] ?? '0') !== 0;
  const keepAlive = Number(environment['VLLM_HTTP_TIMEOUT_KEEP_ALIVE'] ?? '5');
  const audioFileMib = Number(environment['VLLM_MAX_AUDIO_CLIP_FILESIZE_MB'] ?? '25');
  return {
    developmentMode: on('VLLM_SERVER_DEV_MODE'),
    runtimeLora: /^(1|true)$/i.test(environment['VLLM_ALLOW_RUNTIME_LORA_UPDATING'] ?? '0'),
    responsesStore: on('VLLM_ENABLE_RESPONSES_API_STORE'),
    keepAliveOnEngineDeath: on('VLLM_KEEP_ALIVE_ON_ENGINE_DEATH'),
    keepAliveS: Number.isFinite(keepAlive) ? keepAlive : 5,
    audioFileMib: Number.isFinite(audioFileMib) ? audioFileMib : 25,
    visibleDevices: environment['CUDA_VISIBLE_DEVICES'] ?? null,
    ledgerDirectory: environment['VLLM_SIM_LEDGER'] || null,
    isOffline: /^(1|true|yes|on)$/i.test(environment['HF_HUB_OFFLINE'] ?? ''),
  };
}

function nonDefault(model: string, values: ReadonlyMap<string, readonly string[]>): Record<string, unknown> {
  const shown: Record<string, unknown> = { model_tag: model };
  for (const [name, given] of values) {
    if (name.startsWith('sim-')) continue;
    const key = name.replace(/^no-/, '').replaceAll('-', '_');
    if (TAKES_NOTHING.has(name)) shown[key] = !name.startsWith('no-');
    else if (TAKES_LIST.has(name)) shown[key] = given;
    else shown[key] = /^-?\d+(\.\d+)?$/.test(given[0] ?? '') ? Number(given[0]) : given[0];
  }
  // vLLM shows everything here, keys included: whoever keeps the log must scrub it. So do we.
  return shown;
}

/** `name=path`; with a comma in it, a JSON object. */
function loraModule(spec: string): [string, string] {
  const equals = spec.indexOf('=');
  if (equals >= 0 && !spec.includes(',')) return [spec.slice(0, equals), spec.slice(equals + 1)];
  let read: unknown = null;
  try {
    read = JSON.parse(spec);
  } catch {
    throw new UsageError(`Invalid JSON format for --lora-modules: ${spec}`);
  }
  if (typeof read === 'object' && read !== null && 'name' in read && 'path' in read) {
    return [String(read.name), String(read.path)];
  }
  throw new UsageError(`Invalid fields for --lora-modules: ${spec}`);
}

function integer(flag: string, text: string | null): number | null {
  if (text === null) return null;
  if (!/^-?\d+$/.test(text)) throw new UsageError(`argument --${flag}: invalid int value: '${text}'`);
  return Number(text);
}

function number(flag: string, text: string | null): number | null {
  if (text === null) return null;
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) {
    throw new UsageError(`argument --${flag}: invalid float value: '${text}'`);
  }
  return value;
}

const SUFFIXES: ReadonlyMap<string, number> = new Map([
  ['k', 1e3],
  ['m', 1e6],
  ['g', 1e9],
  ['t', 1e12],
  ['K', 2 ** 10],
  ['M', 2 ** 20],
  ['G', 2 ** 30],
  ['T', 2 ** 40],
]);

function humanInteger(flag: string, text: string | null): number | null {
  if (text === null) return null;
  const found = /^(-?\d+(?:\.\d+)?)([kmgtKMGT]?)$/.exec(text.trim());
  if (!found) throw new UsageError(`argument --${flag}: invalid human_readable_int value: '${text}'`);
  return Math.trunc(Number(found[1]) * (SUFFIXES.get(found[2] ?? '') ?? 1));
}

/** -1 and `auto` mean: as long as the memory allows. */
function modelLength(text: string | null): number | null {
  if (text === 'auto') return -1;
  return humanInteger('max-model-len', text);
}

function choice<T extends string>(flag: string, text: string | null, allowed: readonly T[]): T | null {
  if (text === null) return null;
  const found = allowed.find((candidate) => candidate === text);
  if (found === undefined) {
    throw new UsageError(`argument --${flag}: invalid choice: '${text}' (choose from ${allowed.join(', ')})`);
  }
  return found;
}
