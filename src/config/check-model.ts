/** Rules across the keys of one model. Every rule reports on its own, so that one reading shows all faults. */
import { managedFlags } from './engine-flags.ts';
import { type ConfigFault, type FaultCode, type FaultDetails, fault } from './fault.ts';
import {
  type LayeredModel,
  type Layers,
  modelOf,
  originOfModelKey,
  poolNamesOf,
  poolsOf,
  schedulingOf,
} from './layers.ts';
import { nearestOf } from './nearest.ts';
import type { RawModel } from './schema-model.ts';

class ModelCheck {
  readonly faults: ConfigFault[] = [];
  readonly name: string;
  readonly own: RawModel;
  readonly model: LayeredModel;
  readonly layers: Layers;
  readonly budgetMode: boolean;

  constructor(layers: Layers, name: string, own: RawModel) {
    this.layers = layers;
    this.name = name;
    this.own = own;
    this.model = modelOf(layers, own);
    this.budgetMode = schedulingOf(layers).placement_mode === 'budget';
  }

  /** Reports at the value of `key`, in whatever layer it stands. */
  report(key: keyof RawModel, code: FaultCode, problem: string, details: FaultDetails = {}): void {
    const { origin, path } = originOfModelKey(this.layers, this.name, key);
    this.faults.push(fault(code, origin, path, problem, details));
  }

  /** Reports at the model's own name. */
  reportModel(code: FaultCode, problem: string, details: FaultDetails = {}): void {
    const path = ['models', this.name];
    this.faults.push(fault(code, this.layers.file.source.originOf(path, 'key'), path, problem, details));
  }
}

/** `complete` is false when faulty parts of the model were left out: then nothing is reported as missing. */
export function checkModel(
  layers: Layers,
  name: string,
  own: RawModel,
  complete: boolean,
): readonly ConfigFault[] {
  const check = new ModelCheck(layers, name, own);
  checkSource(check, complete);
  checkEngine(check);
  checkCommand(check);
  if (own.url === undefined) {
    checkSequences(check);
    checkPlacement(check);
    checkExtraArgs(check);
  } else {
    checkUrl(check);
  }
  if (check.own.request_defaults?.model !== undefined) {
    const path = ['models', name, 'request_defaults', 'model'];
    const origin = layers.file.source.originOf(path, 'value');
    check.faults.push(fault('conflict', origin, path, 'request_defaults may not set `model`'));
  }
  return check.faults;
}

function checkSource(check: ModelCheck, complete: boolean): void {
  const { own } = check;
  const given = (['repo', 'command', 'url'] as const).filter((key) => own[key] !== undefined);
  const [first, ...others] = given;
  if (first === undefined && complete && check.model.engine !== 'simulated') {
    check.reportModel('missing', 'nothing says what to run', { allowed: 'one of `repo`, `command`, `url`' });
  }
  for (const key of others) {
    check.report(key, 'conflict', `\`${key}\` and \`${first}\` exclude each other`, {
      allowed: 'one of `repo`, `command`, `url`',
    });
  }
}

function checkEngine(check: ModelCheck): void {
  const { own } = check;
  // An engine from `defaults` yields where the model's own keys decide; only a model's own word can contradict them.
  if (own.engine === undefined) return;
  if (own.url !== undefined && own.engine !== 'openai') {
    check.report('engine', 'conflict', 'a `url` is served by engine `openai`', {
      found: own.engine,
      allowed: 'openai',
    });
  } else if (own.command !== undefined && own.engine === 'simulated') {
    check.report('engine', 'conflict', 'a `command` is not simulated', {
      found: own.engine,
      allowed: 'openai, vllm',
    });
  } else if (own.command === undefined && own.url === undefined && own.engine === 'openai') {
    check.report('engine', 'conflict', 'engine `openai` needs `command` or `url`', {
      found: own.engine,
      allowed: 'vllm, simulated',
    });
  }
}

function checkCommand(check: ModelCheck): void {
  const { own } = check;
  const { command, extra_args } = own;
  if (command === undefined) return;
  const port = command.some((word) => word.includes('{port}'));
  const socket = command.some((word) => word.includes('{socket}'));
  if (!port && !socket) {
    check.report('command', 'missing', 'the command does not say where to listen', {
      allowed: 'an argument with `{port}` or `{socket}`',
    });
  } else if (port && socket) {
    check.report('command', 'conflict', '`{port}` and `{socket}` exclude each other', {
      allowed: 'one of them',
    });
  }
  if (extra_args !== undefined && extra_args.length > 0) {
    check.report(
      'extra_args',
      'conflict',
      '`extra_args` has no meaning with `command`: write the arguments there',
    );
  }
  for (const key of LAUNCH_KEYS) {
    // Nothing is switched on by these, so they are true of every command.
    if (own[key] === 'off' || own[key] === false) continue;
    refuse(check, key, 'has no meaning with `command`: take it out');
  }
}

function refuse(check: ModelCheck, key: keyof RawModel, problem: string): void {
  if ((check.own[key] ?? null) !== null) check.report(key, 'conflict', `\`${key}\` ${problem}`);
}

/** What goes into command lines that the gateway writes, and what it does with the engines that come of them. */
const LAUNCH_KEYS = [
  'gpu_memory_utilization',
  'max_num_seqs',
  'kv_reservation_seqs',
  'quantization',
  'dtype',
  'enforce_eager',
  'tool_parser',
  'reasoning_parser',
  'sleep',
  'warm_up',
  'fetch',
  'download_timeout',
  'vllm_executable',
] as const;

const DEVICE_KEYS = ['pool', 'memory_mib', 'tensor_parallel_size', 'colocate'] as const;

const GIVING_WAY_KEYS = ['drain_timeout', 'on_drain_timeout'] as const;

/** Set by whoever speaks HTTP; a fixed value would break or smuggle requests. */
const CONNECTION_HEADERS: ReadonlySet<string> = new Set([
  ...['host', 'connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'content-length'],
  ...['content-type', 'content-encoding', 'te', 'trailer', 'upgrade', 'expect'],
]);

function checkUrl(check: ModelCheck): void {
  const { url } = check.own;
  const meaningless = 'has no meaning with `url`';
  for (const key of DEVICE_KEYS)
    refuse(check, key, `${meaningless}: that server takes no device of ours; take it out`);
  for (const key of GIVING_WAY_KEYS)
    refuse(check, key, `${meaningless}: that server gives way to no other; take it out`);
  for (const key of [...LAUNCH_KEYS, 'image'] as const)
    refuse(check, key, `${meaningless}: the gateway does not start that server; take it out`);
  if (typeof url !== 'object') return;
  const { source } = check.layers.file;
  const path = ['models', check.name, 'url'];
  if (url.api_key_env !== undefined && url.api_key_file !== undefined) {
    const keyPath = [...path, 'api_key_file'];
    check.faults.push(
      fault(
        'conflict',
        source.originOf(keyPath, 'value'),
        keyPath,
        '`api_key_env` and `api_key_file` exclude each other',
      ),
    );
  }
  for (const name of Object.keys(url.headers ?? {})) {
    if (!CONNECTION_HEADERS.has(name.toLowerCase())) continue;
    const keyPath = [...path, 'headers', name];
    check.faults.push(
      fault(
        'gateway_managed',
        source.originOf(keyPath, 'key'),
        keyPath,
        'this header belongs to the connection',
      ),
    );
  }
  const authorization = Object.keys(url.headers ?? {}).find((name) => name.toLowerCase() === 'authorization');
  if (authorization !== undefined && (url.api_key_env ?? url.api_key_file) !== undefined) {
    const keyPath = [...path, 'headers', authorization];
    check.faults.push(
      fault(
        'conflict',
        source.originOf(keyPath, 'key'),
        keyPath,
        'an Authorization header and an API key exclude each other',
      ),
    );
  }
}

function checkSequences(check: ModelCheck): void {
  const { max_num_seqs, kv_reservation_seqs, max_model_len, memory_mib } = check.model;
  if (kv_reservation_seqs !== undefined && kv_reservation_seqs > max_num_seqs) {
    check.report(
      'kv_reservation_seqs',
      'invalid_value',
      `larger than \`max_num_seqs\` of model \`${check.name}\``,
      {
        found: String(kv_reservation_seqs),
        allowed: `1 to ${max_num_seqs}`,
      },
    );
  }
  const sized = memory_mib !== undefined || check.own.command !== undefined;
  if (check.budgetMode && max_model_len === 0 && !sized) {
    check.report(
      'max_model_len',
      'missing',
      `budget mode needs the context length of model \`${check.name}\``,
      {
        found: '0',
        allowed: '`max_model_len` above 0, or `memory_mib`',
      },
    );
  }
}

function checkPlacement(check: ModelCheck): void {
  const { pool, tensor_parallel_size, colocate } = check.model;
  const pools = poolsOf(check.layers);
  const names = poolNamesOf(check.layers);
  if (pool !== undefined && !names.includes(pool)) {
    const allowed = names.length > 0 ? names.join(', ') : 'none: no pools are configured';
    check.report('pool', 'unknown_name', 'no such pool', {
      found: JSON.stringify(pool),
      allowed,
      nearest: nearestOf(pool, names),
    });
  } else if (pool === undefined && names.length > 1) {
    check.reportModel('missing', 'there are several pools: `pool` must name one', {
      allowed: names.join(', '),
    });
  }
  const devices = pools.get(pool ?? names[0] ?? '') ?? simulatedIds(check.layers);
  if (devices !== null && tensor_parallel_size > devices.length) {
    check.report(
      'tensor_parallel_size',
      'invalid_value',
      `model \`${check.name}\` needs more devices than its pool has`,
      {
        found: String(tensor_parallel_size),
        allowed: `at most ${devices.length}`,
      },
    );
  }
  if (colocate && tensor_parallel_size > 1 && !check.budgetMode) {
    check.report(
      'colocate',
      'conflict',
      `model \`${check.name}\` cannot share cards while it spreads over several`,
      {
        allowed: '`tensor_parallel_size: 1`',
      },
    );
  }
}

function simulatedIds(layers: Layers): readonly string[] | null {
  const simulated = layers.file.config.devices?.simulated ?? [];
  return simulated.length > 0 ? simulated.map((device) => device.id) : null;
}

function checkExtraArgs(check: ModelCheck): void {
  if (check.own.command !== undefined) return;
  const shared = check.budgetMode || check.model.colocate;
  for (const { index, flag, remedy } of managedFlags(check.model.extra_args, shared)) {
    const { path } = originOfModelKey(check.layers, check.name, 'extra_args');
    const itemPath = [...path, index];
    const origin = check.layers.file.source.originOf(itemPath, 'value');
    check.faults.push(
      fault('gateway_managed', origin, itemPath, `\`${flag}\` is managed by the gateway: ${remedy}`),
    );
  }
}
