/** Files that are whole or absent after a power cut: written beside, synced, renamed, and the directory synced. */
import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Ending of a file that was being written; a reader of the directory skips and removes it. */
export const UNFINISHED_SUFFIX = '.tmp';

/** Replaces `path` by `text`, durably, readable by us alone. */
export async function writeDurably(path: string, text: string): Promise<void> {
  const unfinished = path + UNFINISHED_SUFFIX;
  const file = await open(unfinished, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(unfinished, path);
  await syncDirectory(dirname(path));
}

/** Makes a rename or removal in `directory` durable. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
