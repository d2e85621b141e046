/** Runs one command of the installers: with a time limit, its lines shown as progress, its last lines kept for the error. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const keptLinesMax = 25;

export interface CommandOptions {
  readonly timeLimitMs: number;
  readonly onLine?: (line: string) => void;
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * Resolves with the command's standard output. Rejects with an error that names the command, how it ended and its
 * last lines. A command over its limit is killed with everything that it started.
 */
export function runCommand(argv: readonly string[], options: CommandOptions): Promise<string> {
  const [file = '', ...rest] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(file, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, ...options.environment },
    });
    const output: string[] = [];
    const last: string[] = [];
    let timedOut = false;
    const killGroup = (): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // The group ended by itself in the meantime.
      }
    };
    // The group is ours alone: an interrupt at the terminal does not reach it, so it is ended with us.
    process.once('exit', killGroup);
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup();
    }, options.timeLimitMs);
    const read = (stream: NodeJS.ReadableStream, kept: string[] | null): void => {
      createInterface({ input: stream }).on('line', (line) => {
        kept?.push(line);
        last.push(line);
        if (last.length > keptLinesMax) last.shift();
        options.onLine?.(line);
      });
    };
    read(child.stdout, output);
    read(child.stderr, null);
    const settle = (): void => {
      clearTimeout(timer);
      process.removeListener('exit', killGroup);
    };
    child.once('error', (error) => {
      settle();
      reject(new Error(`${file} could not be started: ${error.message}`));
    });
    child.once('close', (code, signal) => {
      settle();
      if (code === 0) return resolve(output.join('\n'));
      const how = timedOut
        ? `was ended after its limit of ${Math.round(options.timeLimitMs / 1000)} s`
        : `ended with ${signal ?? `code ${code}`}`;
      reject(new Error(`"${argv.join(' ')}" ${how}; its last lines:\n${last.join('\n')}`));
    });
  });
}
