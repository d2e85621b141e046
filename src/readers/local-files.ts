/** A model in a directory. Snapshots of the Hugging Face cache are directories of links, so links are followed. */
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelFile, ModelFiles } from './model-files.ts';
import { ReadError } from './read-fault.ts';

/** Entries looked at; a home directory given by mistake is not walked through. */
const ENTRIES_MAX = 20_000;

export function localFiles(directory: string): ModelFiles {
  return {
    label: directory,
    list: () => listed(directory),
    range: (path, start, end) => rangeOf(join(directory, path), start, end),
    ggufAddress: (path) => ({ uri: join(directory, path), fetch: null }),
  };
}

/** Weights lie at the top; only GGUF repositories sort theirs into folders, one deep. */
async function listed(directory: string): Promise<ModelFile[]> {
  const files: ModelFile[] = [];
  let seen = 0;
  const visit = async (below: string, depth: number): Promise<void> => {
    for (const entry of await readdir(join(directory, below), { withFileTypes: true })) {
      seen += 1;
      if (seen > ENTRIES_MAX) return;
      const path = below === '' ? entry.name : `${below}/${entry.name}`;
      if (entry.isDirectory()) {
        if (depth > 0 && !entry.name.startsWith('.')) await visit(path, depth - 1);
        continue;
      }
      // A link into the cache may lead nowhere: a download that was broken off.
      const found = await stat(join(directory, path)).catch(() => null);
      if (found?.isFile() === true) files.push({ path, sizeBytes: found.size });
    }
  };
  await visit('', 1);
  return files;
}

async function rangeOf(file: string, start: number, end: number): Promise<Uint8Array> {
  const handle = await open(file, 'r');
  try {
    const bytes = new Uint8Array(end - start);
    let filled = 0;
    while (filled < bytes.length) {
      const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, start + filled);
      if (bytesRead === 0) throw new ReadError('malformed', `${file} ends after ${start + filled} bytes`);
      filled += bytesRead;
    }
    return bytes;
  } finally {
    await handle.close();
  }
}
