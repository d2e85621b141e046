/** Command line options as a layer of configuration: they go through the same schema and win over everything. */
import type { ConfigPath, FaultOrigin } from './fault.ts';
import type { RawSource } from './source.ts';

/** Values as the command line gives them; absent ones override nothing. */
export interface ConfigOverrides {
  readonly host?: string | undefined;
  readonly port?: string | number | undefined;
  readonly auth?: string | undefined;
  readonly apiKeysFile?: string | undefined;
  readonly stateDirectory?: string | undefined;
  readonly devices?: string | undefined;
  readonly logLevel?: string | undefined;
}

interface Option {
  readonly flag: string;
  readonly section: string;
  readonly key: string;
}

const OPTIONS: Readonly<Record<keyof ConfigOverrides, Option>> = {
  host: { flag: '--host', section: 'server', key: 'host' },
  port: { flag: '--port', section: 'server', key: 'port' },
  auth: { flag: '--auth', section: 'server', key: 'auth' },
  apiKeysFile: { flag: '--api-keys-file', section: 'server', key: 'api_keys_file' },
  stateDirectory: { flag: '--state-directory', section: 'runtime', key: 'state_directory' },
  devices: { flag: '--devices', section: 'devices', key: 'source' },
  logLevel: { flag: '--log-level', section: 'log', key: 'level' },
};

export function overridesSource(overrides: ConfigOverrides): RawSource {
  const sections: Record<string, Record<string, unknown>> = {};
  for (const [name, option] of Object.entries(OPTIONS)) {
    const value: unknown = Reflect.get(overrides, name);
    if (value === undefined) continue;
    const section = sections[option.section] ?? {};
    section[option.key] = name === 'port' ? portOf(value) : value;
    sections[option.section] = section;
  }
  const originOf = (path: ConfigPath): FaultOrigin => {
    const option = Object.values(OPTIONS).find(({ section, key }) => section === path[0] && key === path[1]);
    return option === undefined ? { kind: 'built_in' } : { kind: 'flag', flag: option.flag };
  };
  return { value: sections, originOf };
}

function portOf(value: unknown): unknown {
  return typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
}
