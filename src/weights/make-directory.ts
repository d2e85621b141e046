/** Directories, made with errors that can be told. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { codeOf } from './fetch-error.ts';

/** On a read-only file system Node's own recursive way says that there is no such directory; the true reason is asked for. */
export async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    let first = path;
    while (dirname(first) !== first && (await stat(dirname(first)).catch(() => null)) === null)
      first = dirname(first);
    await mkdir(first);
    await mkdir(path, { recursive: true });
  }
}
