/**
 * Where the vLLM that an executable runs is installed, found without running it: importing vLLM takes seconds. An
 * installation that cannot be looked into (a container, a wrapper, an old layout) is unknown, not absent.
 */
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import type { Environment } from '../engine-environment.ts';

const FILE_BYTES_MAX = 1024 * 1024;
/** `lib` holds a folder for each Python; a machine has a few. */
const PYTHONS_MAX = 16;

/**
 * Folders that may hold its packages, existing ones and others, the likeliest first. `executable`: argv prefix that runs
 * vLLM; its first word is looked up in the PATH of `environment`. Never throws.
 */
export function packageFolders(executable: readonly string[], environment: Environment): readonly string[] {
  const program = programPath(executable[0] ?? '', environment);
  if (program === null) return [];
  // `vllm` lies in the `bin` of its environment, or is a script whose first line names the Python of it.
  const python = /^#!(\S+)/.exec(smallFile(program) ?? '')?.[1];
  const bins = [program, resolved(program), ...(python === undefined ? [] : [python])].map(dirname);
  return [...new Set(bins)].flatMap((bin) => {
    const lib = join(dirname(bin), 'lib');
    return namesIn(lib)
      .filter((name) => /^python3(\.\d+)?$/.test(name))
      .slice(0, PYTHONS_MAX)
      .flatMap((version) =>
        ['site-packages', 'dist-packages'].map((packages) => join(lib, version, packages)),
      );
  });
}

function programPath(word: string, environment: Environment): string | null {
  if (word === '') return null;
  if (word.includes('/')) return isAbsolute(word) && existsSync(word) ? word : null;
  const folders = (environment.PATH ?? '').split(delimiter).filter(isAbsolute);
  return folders.map((folder) => join(folder, word)).find((path) => existsSync(path)) ?? null;
}

function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** Names of a folder's entries; none where it cannot be read. */
export function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Null where the file is not there or is larger than what we look for. */
export function smallFile(file: string): string | null {
  try {
    return statSync(file).size <= FILE_BYTES_MAX ? readFileSync(file, 'utf8') : null;
  } catch {
    return null;
  }
}
