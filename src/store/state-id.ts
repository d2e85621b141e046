/**
 * The name of a state directory, which engines of its gateway carry. It stands in a file of its own, because it must
 * outlive a database that breaks: engines without a record are known by it.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeDurably } from './durable-file.ts';

const FILE_NAME = 'state-id';
const STATE_ID = /^[0-9a-f]{16}$/;

/** Made at the first call, under the lock of the directory. Rejects where it can be neither read nor made. */
export async function stateId(directory: string): Promise<string> {
  const path = join(directory, FILE_NAME);
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  if (STATE_ID.test(text.trim())) return text.trim();
  const made = randomBytes(8).toString('hex');
  await writeDurably(path, `${made}\n`);
  return made;
}
