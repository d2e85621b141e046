/** Rules that span the file: names that must exist, devices, addresses and authentication. */
import { adaptersOf, checkAdapters } from './check-adapters.ts';
import { checkModel } from './check-model.ts';
import { checkRuntime } from './check-runtime.ts';
import {
  type ConfigFault,
  type ConfigPath,
  type FaultCode,
  type FaultDetails,
  fault,
  formatOrigin,
} from './fault.ts';
import type { HostFacts } from './host-facts.ts';
import { devicesOf, type Layers, originOfSetting, poolsOf, serverOf } from './layers.ts';
import { nearestOf } from './nearest.ts';
import type { RuntimeConfig } from './resolved-config.ts';
import { valueAt } from './source.ts';

interface CheckContext {
  readonly layers: Layers;
  /** Started as the original was: an open address is accepted, with a warning. */
  readonly original: boolean;
  readonly runtimeKind: RuntimeConfig['kind'];
  readonly host: HostFacts;
  /** Models whose faulty parts were left out. */
  readonly incomplete: ReadonlySet<string>;
  /** Every name under `models`, also of models that were left out. */
  readonly modelNames: readonly string[];
}

export function checkConfig(context: CheckContext): readonly ConfigFault[] {
  const { layers, incomplete } = context;
  const faults: ConfigFault[] = [];
  const report: Report = (code, path, problem, details = {}, what = 'value') => {
    faults.push(fault(code, layers.file.source.originOf(path, what), path, problem, details));
  };
  if (context.modelNames.length === 0)
    report('missing', ['models'], 'at least one model must be given', {}, 'key');
  for (const [name, model] of Object.entries(layers.file.config.models)) {
    faults.push(...checkModel(layers, name, model, !incomplete.has(name)));
  }
  checkNames(context, report);
  faults.push(...checkAdapters(layers, context.modelNames));
  checkDevices(layers, report);
  faults.push(...checkServer(context), ...checkRuntime(layers, context.runtimeKind, context.host));
  return unique(faults);
}

type Report = (
  code: FaultCode,
  path: ConfigPath,
  problem: string,
  details?: FaultDetails,
  what?: 'key' | 'value',
) => void;

/** A fault in `defaults` shows with every model that inherits it; its reader needs it once. */
function unique(faults: readonly ConfigFault[]): ConfigFault[] {
  const seen = new Set<string>();
  return faults.filter((one) => {
    const key = `${formatOrigin(one.origin)} ${one.path} ${one.code}`;
    const fresh = one.path.startsWith('models') || !seen.has(key);
    seen.add(key);
    return fresh;
  });
}

function checkNames({ layers, modelNames }: CheckContext, report: Report): void {
  const { aliases = {}, default_model, defaults } = layers.file.config;
  const adapters = [...adaptersOf(layers).keys()];
  const known = (path: ConfigPath, name: string, names: readonly string[]): void => {
    if (names.includes(name)) return;
    const alias = Object.hasOwn(aliases, name);
    const problem = alias ? 'this is an alias, and a model is needed' : 'no such model';
    report('unknown_name', path, problem, {
      found: JSON.stringify(name),
      allowed: names.join(', '),
      nearest: nearestOf(name, names),
    });
  };
  for (const [alias, target] of Object.entries(aliases)) {
    const path = ['aliases', alias];
    if (modelNames.includes(alias))
      report('conflict', path, 'this alias hides a model of the same name', {}, 'key');
    known(
      typeof target === 'string' ? path : [...path, 'model'],
      typeof target === 'string' ? target : target.model,
      [...modelNames, ...adapters],
    );
    if (typeof target !== 'string' && target.request_defaults?.model !== undefined) {
      report('conflict', [...path, 'request_defaults', 'model'], 'request_defaults may not set `model`');
    }
  }
  if (default_model !== undefined) known(['default_model'], default_model, modelNames);
  if (defaults?.request_defaults?.model !== undefined) {
    report('conflict', ['defaults', 'request_defaults', 'model'], 'request_defaults may not set `model`');
  }
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function checkDevices(layers: Layers, report: Report): void {
  const devices = devicesOf(layers);
  const simulated = devices.simulated.map((device) => device.id);
  for (const [index, id] of simulated.entries()) {
    if (simulated.indexOf(id) !== index) {
      report('conflict', ['devices', 'simulated', index, 'id'], 'this id stands twice', {
        found: JSON.stringify(id),
      });
    }
  }
  const listed = valueAt(layers.file.source.value, ['devices', 'simulated']) ?? null;
  if (devices.source === 'simulated' && simulated.length === 0 && (listed === null || isEmptyList(listed))) {
    report('missing', ['devices', 'simulated'], 'no simulated devices are listed', {
      allowed: '[{id: sim-gpu-0, memory_mib: 24GiB}]',
    });
  }
  if (simulated.length > 0 && devices.source !== 'auto' && devices.source !== 'simulated') {
    report('conflict', ['devices', 'simulated'], `\`source: ${devices.source}\` has no simulated devices`, {
      allowed: 'auto, simulated',
    });
  }
  const ids = [...new Set(simulated)];
  if (typeof devices.memory_limit_mib === 'object' && ids.length > 0) {
    for (const id of Object.keys(devices.memory_limit_mib)) {
      if (id === '*' || ids.includes(id)) continue;
      const details = { allowed: ['*', ...ids].join(', '), nearest: nearestOf(id, ids) };
      report('unknown_name', ['devices', 'memory_limit_mib', id], 'no such simulated device', details, 'key');
    }
  }
  const owners = new Map<string, string>();
  for (const [pool, members] of poolsOf(layers)) {
    for (const [index, id] of members.entries()) {
      const path = ['pools', pool, index];
      const owner = owners.get(id);
      if (owner !== undefined) {
        report('conflict', path, `this device stands in pool \`${owner}\` already`, {
          found: JSON.stringify(id),
        });
      }
      owners.set(id, pool);
      if (ids.length > 0 && !ids.includes(id)) {
        const nearest = nearestOf(id, ids);
        report('unknown_name', path, 'no such simulated device', {
          found: JSON.stringify(id),
          allowed: ids.join(', '),
          nearest,
        });
      }
    }
  }
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/i;

/** IPv6 addresses are often written as in URLs. */
export function plainHost(host: string): string {
  return host.replace(/^\[(.+)\]$/, '$1');
}

/** Only literal loopback addresses count; other names may resolve to anything. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.test(plainHost(host));
}

function checkServer({ layers, original }: CheckContext): ConfigFault[] {
  const server = serverOf(layers);
  const faults: ConfigFault[] = [];
  const report = (key: string, code: FaultCode, problem: string, details: FaultDetails = {}): void => {
    faults.push(fault(code, originOfSetting(layers, ['server', key]), ['server', key], problem, details));
  };
  if (server.auth === 'keys' && server.api_keys_file === undefined) {
    report('auth', 'missing', '`auth: keys` needs `server.api_keys_file`');
  }
  if (server.auth === 'none' && server.api_keys_file !== undefined) {
    report('auth', 'conflict', '`auth: none` and `server.api_keys_file` exclude each other');
  }
  for (const [index, origin] of server.cors_origins.entries()) {
    const spelled = URL.parse(origin)?.origin ?? null;
    if (spelled === origin) continue;
    const allowed = spelled ?? 'an origin as https://host or http://host:port';
    const path = ['server', 'cors_origins', index];
    const details = { found: JSON.stringify(origin), allowed };
    const problem = 'no browser spells an origin like this';
    faults.push(fault('invalid_value', originOfSetting(layers, path), path, problem, details));
  }
  const open = server.auth === undefined && server.api_keys_file === undefined;
  if (open && !original && !isLoopback(server.host)) {
    report('host', 'open_address', 'this address is open to the network and no API keys are configured', {
      found: JSON.stringify(server.host),
      allowed:
        'a loopback address, `server.api_keys_file` (--api-keys-file), or `server.auth: none` (--auth none) on purpose',
    });
  }
  for (const [key, other] of [
    ['tls_cert', 'tls_key'],
    ['tls_key', 'tls_cert'],
  ] as const) {
    if (server[key] !== undefined && server[other] === undefined)
      report(key, 'missing', `\`${key}\` needs \`server.${other}\``);
  }
  checkSpool(layers, report);
  if (server.headers_timeout > server.request_timeout) {
    report('headers_timeout', 'invalid_value', 'longer than `server.request_timeout`', {
      found: `${server.headers_timeout / 1000} s`,
      allowed: `at most ${server.request_timeout / 1000} s`,
    });
  }
  return faults;
}

/** Of the two keys the one that was written is told. */
function checkSpool(
  layers: Layers,
  report: (key: string, code: FaultCode, problem: string, details: FaultDetails) => void,
): void {
  const { audio_body_limit_mib: limit, body_spool_mib: room } = serverOf(layers);
  if (room >= limit) return;
  if (originOfSetting(layers, ['server', 'body_spool_mib']).kind === 'built_in') {
    const details = {
      found: `${limit} MiB`,
      allowed: `at most ${room} MiB, or a larger \`server.body_spool_mib\``,
    };
    report('audio_body_limit_mib', 'invalid_value', 'larger than `server.body_spool_mib`', details);
    return;
  }
  const details = { found: `${room} MiB`, allowed: `at least ${limit} MiB` };
  report('body_spool_mib', 'invalid_value', 'smaller than `server.audio_body_limit_mib`', details);
}
