/**
 * Environments of other processes, read from /proc. Such a read waits in the kernel while its process changes its memory, and
 * with one that hangs in a driver for ever: it then holds a thread of the pool that all file work of ours shares.
 *
 *  N1. A read that takes longer than `READ_MS_MAX` counts as unreadable, and is not begun again while it hangs.
 *  N2. At most `HUNG_MAX` reads hang; beyond that nothing new is read.
 */
import { readFile } from 'node:fs/promises';

const READ_MS_MAX = 1_000;
/** Half of the four threads that Node has by default. */
const HUNG_MAX = 2;
const READS_AT_ONCE = 4;

export interface EnvironmentReader {
  /** Calls `onRead` for each pid in any order; null: it cannot be read, not in time, or the process is gone. */
  readAll<T extends { readonly pid: number }>(
    processes: readonly T[],
    onRead: (process: T, environment: Buffer | null) => void,
  ): Promise<void>;
}

interface Read {
  readonly content: Promise<Buffer | null>;
  hangs: boolean;
}

/** `root`: where /proc is. */
export function createEnvironmentReader(root: string): EnvironmentReader {
  const reads = new Map<number, Read>();
  const read = (pid: number): Promise<Buffer | null> => {
    const underWay = reads.get(pid);
    if (underWay !== undefined) return underWay.hangs ? Promise.resolve(null) : inTime(underWay);
    if ([...reads.values()].filter(({ hangs }) => hangs).length >= HUNG_MAX) return Promise.resolve(null);
    const content = readFile(`${root}/${pid}/environ`)
      .catch(() => null)
      .finally(() => reads.delete(pid));
    const begun = { content, hangs: false };
    reads.set(pid, begun);
    return inTime(begun);
  };
  return {
    async readAll(processes, onRead) {
      const left = [...processes];
      const readNext = async (): Promise<void> => {
        for (let next = left.pop(); next !== undefined; next = left.pop()) {
          onRead(next, await read(next.pid));
        }
      };
      await Promise.all(Array.from({ length: READS_AT_ONCE }, readNext));
    },
  };
}

function inTime(read: Read): Promise<Buffer | null> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      read.hangs = true;
      resolve(null);
    }, READ_MS_MAX);
    void read.content.then((content) => {
      clearTimeout(timer);
      resolve(content);
    });
  });
}
