/** Why a fetch fails, as an error inside of this folder; the port has it as a value. */
import type { DiagnosisCause } from '../engines/engine.ts';
import { ReadError } from '../readers/read-fault.ts';
import type { FetchFailure } from './fetcher.ts';

export class FetchError extends Error {
  override readonly name = 'FetchError';
  readonly failure: FetchFailure;

  constructor(cause: DiagnosisCause, text: string, retryable: boolean) {
    super(text);
    this.failure = { cause, text, retryable };
  }
}

/** Something is not here, and whoever looks does not want a hub to be asked. */
export class AbsentError extends Error {
  override readonly name = 'AbsentError';
}

/** Tried again within limits before it becomes a failure. */
export class PassingError extends FetchError {
  /** The hub said how long to wait; null: it did not. */
  readonly retryAfterMs: number | null;

  constructor(text: string, retryAfterMs: number | null = null) {
    super('repository_unreachable', text, true);
    this.retryAfterMs = retryAfterMs;
  }
}

/** What of the file system's errors people can mend. `directory`: where it happened. */
function diskError(error: unknown, directory: string): FetchError | null {
  const code = codeOf(error);
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return new FetchError(
        'fetch_failed',
        `${directory} may not be written by this user: change its owner, or set HF_HOME to a directory of this user`,
        false,
      );
    case 'EROFS':
      return new FetchError(
        'fetch_failed',
        `${directory} is on a read-only file system, so nothing can be fetched into it: mount it writable, or fetch elsewhere`,
        false,
      );
    case 'ENOSPC':
    case 'EDQUOT':
      return new FetchError(
        'fetch_failed',
        `the disk of ${directory} is full${code === 'EDQUOT' ? ' (quota)' : ''}: free some space; what is there already is kept`,
        true,
      );
    case 'ENOTDIR':
    case 'EEXIST':
      return new FetchError('fetch_failed', `${directory} cannot be made: a file is in its place`, false);
    case 'ENOENT':
      // Other files may vanish under us; that a directory cannot be made is the file system's nature (`/proc`).
      return isOfMkdir(error)
        ? new FetchError(
            'fetch_failed',
            `${directory} cannot be made, its file system takes no directories: set HF_HOME to a directory of this user`,
            false,
          )
        : null;
    default:
      return null;
  }
}

export function codeOf(error: unknown): string | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && typeof cause.code === 'string') return cause.code;
  }
  return null;
}

function isOfMkdir(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && error.syscall === 'mkdir';
}

/** The failure in whatever was thrown; a defect of ours is told as such, because nobody above may be hurt by it. */
export function failureOf(error: unknown, what: string, directory: string): FetchFailure {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof FetchError) return cause.failure;
    if (cause instanceof ReadError)
      return {
        cause: cause.fault.kind === 'not_found' ? 'model_not_found' : 'fetch_failed',
        text: cause.fault.text,
        retryable: false,
      };
  }
  if (error instanceof SyntaxError)
    return {
      cause: 'repository_unreachable',
      text: `what answers to questions for ${what} is no hub, its answers are no JSON: check HF_ENDPOINT and the proxies`,
      retryable: false,
    };
  if (error instanceof Error && error.name === 'AbortError')
    return { cause: 'fetch_failed', text: `the fetch of ${what} was ended`, retryable: true };
  return (
    diskError(error, directory)?.failure ?? {
      cause: 'fetch_failed',
      text: `fetching ${what} failed: ${error instanceof Error ? error.message : String(error)}`,
      retryable: true,
    }
  );
}
