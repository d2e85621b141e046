/**
 * Reads the secrets that a configuration refers to. They live in the resolved configuration only; faults, logs and `redacted`
 * never carry them.
 */
import { constants, open, readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Environment } from './environment.ts';
import { type ConfigFault, type ConfigPath, fault } from './fault.ts';
import { type Layers, originOfSetting, serverOf } from './layers.ts';

const KEY_FILE_BYTES_MAX = 64 * 1024;

interface Secrets {
  /** API keys of `url` models by model name. */
  readonly apiKeys: ReadonlyMap<string, string>;
  readonly faults: readonly ConfigFault[];
}

/** Paths in the file are relative to the file; without one, to the working directory. */
export function pathBeside(file: string | null, path: string): string {
  return resolve(file === null ? '.' : dirname(file), path);
}

export async function readSecrets(
  layers: Layers,
  file: string | null,
  environment: Environment,
): Promise<Secrets> {
  const apiKeys = new Map<string, string>();
  const faults: ConfigFault[] = [];
  for (const [name, model] of Object.entries(layers.file.config.models)) {
    if (typeof model.url !== 'object') continue;
    const key = model.url.api_key_env === undefined ? 'api_key_file' : 'api_key_env';
    const reference = model.url[key];
    if (reference === undefined) continue;
    const path: ConfigPath = ['models', name, 'url', key];
    const outcome =
      key === 'api_key_env'
        ? fromEnvironment(environment, reference)
        : await fromFile(pathBeside(file, reference), reference);
    if ('problem' in outcome) {
      faults.push(fault('secret_missing', layers.file.source.originOf(path, 'value'), path, outcome.problem));
    } else {
      apiKeys.set(name, outcome.secret);
    }
  }
  const keysFile = serverOf(layers).api_keys_file;
  if (keysFile !== undefined && !(await readable(pathBeside(file, keysFile)))) {
    const path = ['server', 'api_keys_file'];
    faults.push(
      fault(
        'secret_missing',
        originOfSetting(layers, path),
        path,
        `the file ${JSON.stringify(keysFile)} cannot be read`,
      ),
    );
  }
  return { apiKeys, faults };
}

type Outcome = { readonly secret: string } | { readonly problem: string };

function fromEnvironment(environment: Environment, variable: string): Outcome {
  const secret = environment[variable]?.trim() ?? '';
  return usable(secret, `the environment variable ${variable}`, 'is not set');
}

async function fromFile(path: string, shown: string): Promise<Outcome> {
  const what = `the file ${JSON.stringify(shown)}`;
  try {
    const bytes = await readFile(path);
    if (bytes.length > KEY_FILE_BYTES_MAX)
      return { problem: `${what} is larger than ${KEY_FILE_BYTES_MAX} bytes` };
    return usable(bytes.toString('utf8').trim(), what, 'is empty');
  } catch {
    return { problem: `${what} cannot be read` };
  }
}

function usable(secret: string, what: string, whenEmpty: string): Outcome {
  if (secret === '') return { problem: `${what} ${whenEmpty}` };
  // Anything else could not stand in a header.
  return /^[\x21-\x7e]+$/.test(secret)
    ? { secret }
    : { problem: `${what} holds characters that a header cannot carry` };
}

/** By opening it: `access` knows nothing of capabilities, such as the one that the image's user has. */
async function readable(path: string): Promise<boolean> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    await file.close();
    return true;
  } catch {
    return false;
  }
}
