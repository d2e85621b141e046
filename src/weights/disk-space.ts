/** Is there room for what is to come? Asked before the first byte, because a full disk hurts everybody on it. */
import { stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { byteText } from './byte-text.ts';
import { FetchError } from './fetch-error.ts';

/** Bytes that this user may still write below a directory, which need not exist yet. */
export type FreeBytes = (directory: string) => Promise<number>;

export const freeBytes: FreeBytes = async (directory) => {
  const { bavail, bsize } = await statfs(await existing(directory));
  return bavail * bsize;
};

async function existing(directory: string): Promise<string> {
  for (let at = directory; ; at = dirname(at)) {
    if ((await stat(at).catch(() => null)) !== null || at === dirname(at)) return at;
  }
}

/** Throws a FetchError with the numbers where `missingBytes` and the reserve do not fit. */
export async function checkSpace(
  need: { readonly missingBytes: number; readonly reserveBytes: number; readonly what: string },
  directory: string,
  free: FreeBytes,
): Promise<void> {
  if (need.missingBytes === 0) return;
  const freeNow = await free(directory);
  const short = need.missingBytes + need.reserveBytes - freeNow;
  if (short <= 0) return;
  throw new FetchError(
    'fetch_failed',
    `${need.what} needs ${byteText(need.missingBytes)} more on the disk of ${directory}, which has ${byteText(freeNow)} free ` +
      `(${byteText(need.reserveBytes)} stay free): free ${byteText(short)} there, or set HF_HOME to a larger disk`,
    true,
  );
}
