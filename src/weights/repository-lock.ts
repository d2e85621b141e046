/**
 * One fetch of a repository at a time: within this process by a queue, against other gateways and `vllm-gateway fetch` by a
 * lock of the kernel. Where the file system has no locks, or the lock is another user's, the second one is gone without:
 * contents are checked before they get their name, so that at worst bytes are fetched twice.
 */
import { dirname } from 'node:path';
import { acquireFileLock } from '../store/file-lock.ts';
import { makeDirectory } from '../store/make-directory.ts';
import type { Log } from '../telemetry/log.ts';

export type Release = () => void;

export class RepositoryLocks {
  readonly #log: Log;
  readonly #last = new Map<string, Promise<void>>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Rejects when the signal aborts. `path`: of the lock file. */
  async acquire(path: string, signal: AbortSignal): Promise<Release> {
    const before = this.#last.get(path) ?? Promise.resolve();
    const turn = Promise.withResolvers<void>();
    const mine = before.then(() => turn.promise);
    this.#last.set(path, mine);
    const leave = (): void => {
      turn.resolve();
      if (this.#last.get(path) === mine) this.#last.delete(path);
    };
    try {
      await untilTurn(before, signal);
      const unlock = await this.#kernelLock(path, signal);
      return () => {
        unlock();
        leave();
      };
    } catch (error) {
      leave();
      throw error;
    }
  }

  async #kernelLock(path: string, signal: AbortSignal): Promise<Release> {
    try {
      // With this user's usual rights: the folder is shared with the library's own locks.
      await makeDirectory(dirname(path));
      const onWait = (): void =>
        this.#log('info', 'another process fetches this repository; waiting for it', { lock: path });
      const lock = await acquireFileLock(path, { signal, onWait });
      return () => lock.release();
    } catch (error) {
      signal.throwIfAborted();
      this.#log('warn', 'this fetch is not guarded against other processes', {
        lock: path,
        reason: String(error),
      });
      return () => {};
    }
  }
}

function untilTurn(before: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const abort = (): void => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    void before.then(() => {
      signal.removeEventListener('abort', abort);
      resolve();
    });
  });
}
