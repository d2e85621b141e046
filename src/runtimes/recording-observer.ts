/** An observer for tests: keeps all it hears, and waits for something with a deadline. */
import type { ExitStatus } from '../engines/engine.ts';
import type { LaunchObserver } from './runtime.ts';

/** Generous, because tests run beside others on slow machines; nothing waits this long when all is well. */
const WAIT_MS_MAX = 20_000;

export interface RecordingObserver extends LaunchObserver {
  readonly lines: readonly string[];
  readonly exits: readonly ExitStatus[];
  /** What was heard in order; an exit is the word `exited`. */
  readonly heard: readonly string[];
  /** The first line, past or coming, that matches. */
  waitForLine(pattern: RegExp): Promise<string>;
  waitForExit(): Promise<ExitStatus>;
}

export function createRecordingObserver(): RecordingObserver {
  const lines: string[] = [];
  const exits: ExitStatus[] = [];
  const heard: string[] = [];
  const looks = new Set<() => void>();
  const notify = (): void => {
    for (const look of [...looks]) look();
  };
  const waitFor = <T>(what: string, find: () => T | undefined): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        looks.delete(look);
        reject(new Error(`${what} did not come; heard: ${JSON.stringify(heard.slice(-20))}`));
      }, WAIT_MS_MAX);
      const look = (): void => {
        const found = find();
        if (found === undefined) return;
        clearTimeout(timer);
        looks.delete(look);
        resolve(found);
      };
      looks.add(look);
      look();
    });
  return {
    lines,
    exits,
    heard,
    line(text) {
      lines.push(text);
      heard.push(text);
      notify();
    },
    exited(exit) {
      exits.push(exit);
      heard.push('exited');
      notify();
    },
    waitForLine: (pattern) => waitFor(String(pattern), () => lines.find((line) => pattern.test(line))),
    waitForExit: () => waitFor('the exit', () => exits[0]),
  };
}
