/** An input of a simulation that cannot be used: which one, where in it, what is wrong, and what to do about it. */

export interface InputFaultDetails {
  /** A file, or an option of the command line. */
  readonly source: string;
  /** A line from 1, or the path of a key; null: the whole. */
  readonly place: number | string | null;
  /** Without a full stop. */
  readonly problem: string;
  readonly remedy: string;
}

/** Thrown by everything that reads inputs; the command prints its message and ends with code 2. */
export class InputFault extends Error {
  override readonly name = 'InputFault';

  constructor({ source, place, problem, remedy }: InputFaultDetails) {
    super(`${where(source, place)}: ${problem}. ${remedy}.`);
  }
}

/** Of a file that cannot be opened or read; anything else is thrown on. */
export function unreadable(source: string, error: unknown): InputFault {
  if (!(error instanceof Error) || !('code' in error)) throw error;
  const problem = `cannot be read (${String(error.code)})`;
  return new InputFault({ source, place: null, problem, remedy: 'Check the path and its permissions' });
}

/** Of a file that cannot be written; anything else is thrown on. */
export function unwritable(source: string, error: unknown): InputFault {
  if (!(error instanceof Error) || !('code' in error)) throw error;
  const problem = `cannot be written (${String(error.code)})`;
  return new InputFault({ source, place: null, problem, remedy: 'Check the directory and its permissions' });
}

function where(source: string, place: number | string | null): string {
  if (place === null) return source;
  return typeof place === 'number' ? `${source}:${place}` : `${source}: ${place}`;
}
