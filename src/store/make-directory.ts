/** Directories, made with errors that can be told. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/** Deeper than any path that a system takes. */
const LEVELS_MAX = 2_048;

/**
 * Makes what is missing of `path`; `mode` is that of each directory made. Node's own recursive way says on a read-only file
 * system that there is no such directory, and tries for ever where none can be made (`/proc`). Rejects with the true reason.
 */
export async function makeDirectory(path: string, mode = 0o777): Promise<void> {
  const missing: string[] = [];
  let at = resolve(path);
  while (missing.length < LEVELS_MAX && !(await isThere(at))) {
    missing.unshift(at);
    at = dirname(at);
  }
  for (const directory of missing) {
    await mkdir(directory, { mode }).catch((error: NodeJS.ErrnoException) => {
      // Somebody else made it meanwhile.
      if (error.code !== 'EEXIST') throw error;
    });
  }
  if ((await stat(path)).isDirectory()) return;
  throw Object.assign(new Error(`ENOTDIR: ${path} is not a directory`), { code: 'ENOTDIR' });
}

/** What cannot be looked at is taken to be there: making something in it then tells why. */
async function isThere(path: string): Promise<boolean> {
  if (dirname(path) === path) return true;
  try {
    await stat(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}
