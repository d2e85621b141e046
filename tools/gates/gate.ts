/** A gate is one question about the checkout. It prints what it finds and says whether it passed. */
import { spawn } from 'node:child_process';
import path from 'node:path';

export const ROOT = path.dirname(path.dirname(import.meta.dirname));

export interface Gate {
  readonly name: string;
  /** For the list of gates in the usage. */
  readonly question: string;
  readonly run: () => Promise<boolean>;
}

export interface CommandOptions {
  readonly cwd?: string;
  readonly environment?: NodeJS.ProcessEnv;
}

/** Runs a command with our output as its own. Resolves to whether it ended with exit code 0. */
export function succeeds(
  command: string,
  args: readonly string[],
  { cwd = ROOT, environment = process.env }: CommandOptions = {},
): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env: environment, stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('error', (error) => {
      process.stderr.write(`cannot run ${command}: ${error.message}\n`);
      resolve(false);
    });
    child.once('exit', (code) => resolve(code === 0));
  });
}

/** Runs a script of the checkout, or the program of an installed package, by the Node that runs this. */
export function nodeSucceeds(script: string, args: readonly string[] = []): Promise<boolean> {
  return succeeds(process.execPath, [path.join(ROOT, script), ...args]);
}
