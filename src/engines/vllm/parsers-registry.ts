/**
 * The parsers that the installed vLLM has, read from its own tables without running it: importing vLLM takes seconds. An
 * installation that cannot be looked into (a container, a wrapper, an old layout) is unknown, not empty.
 */
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import type { Environment } from '../engine-environment.ts';

export interface InstalledParsers {
  readonly tool: ReadonlySet<string>;
  readonly reasoning: ReadonlySet<string>;
}

const TABLE_BYTES_MAX = 1024 * 1024;
/** `lib` holds a folder for each Python; a machine has a few. */
const PYTHONS_MAX = 16;

/** `executable`: argv prefix that runs vLLM; its first word is looked up in the PATH of `environment`. Never throws. */
export function installedParsers(
  executable: readonly string[],
  environment: Environment,
): InstalledParsers | null {
  const program = programPath(executable[0] ?? '', environment);
  if (program === null) return null;
  for (const place of packagePlaces(program)) {
    const tool =
      tableOf(join(place, 'tool_parsers/__init__.py')) ??
      tableOf(join(place, 'entrypoints/openai/tool_parsers/__init__.py'));
    const reasoning = tableOf(join(place, 'reasoning/__init__.py'));
    if (tool !== null && reasoning !== null) return { tool, reasoning };
  }
  return null;
}

function programPath(word: string, environment: Environment): string | null {
  if (word === '') return null;
  if (word.includes('/')) return isAbsolute(word) && existsSync(word) ? word : null;
  const folders = (environment.PATH ?? '').split(delimiter).filter(isAbsolute);
  return folders.map((folder) => join(folder, word)).find((path) => existsSync(path)) ?? null;
}

/** `vllm` lies in the `bin` of its environment, or is a script whose first line names the Python of it. */
function packagePlaces(program: string): string[] {
  const python = /^#!(\S+)/.exec(textOf(program) ?? '')?.[1];
  const bins = [program, resolved(program), ...(python === undefined ? [] : [python])].map(dirname);
  return [...new Set(bins)].flatMap((bin) => {
    const lib = join(dirname(bin), 'lib');
    return pythonsIn(lib).flatMap((version) =>
      ['site-packages', 'dist-packages'].map((packages) => join(lib, version, packages, 'vllm')),
    );
  });
}

function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function pythonsIn(lib: string): string[] {
  try {
    return readdirSync(lib)
      .filter((name) => /^python3(\.\d+)?$/.test(name))
      .slice(0, PYTHONS_MAX);
  } catch {
    return [];
  }
}

/** Keys of the table that registers parsers; null where the file is not there or has another form. */
function tableOf(file: string): ReadonlySet<string> | null {
  const names = [...(textOf(file) ?? '').matchAll(/^ {4}"([\w.-]+)": \(/gm)].map(([, name = '']) => name);
  return names.length === 0 ? null : new Set(names);
}

function textOf(file: string): string | null {
  try {
    return statSync(file).size <= TABLE_BYTES_MAX ? readFileSync(file, 'utf8') : null;
  } catch {
    return null;
  }
}
