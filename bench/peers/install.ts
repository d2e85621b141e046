/** Installs the peers that come from PyPI, each in an environment of its own outside the checkout; once, then cached. */
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDirectory } from '../../tools/real-vllm/cache-directory.ts';
import { withInstallLock } from '../../tools/real-vllm/install-lock.ts';
import { runCommand } from '../../tools/real-vllm/run-command.ts';

const STEP_LIMIT_MS = 15 * 60_000;
const LOCK_LIMIT_MS = 20 * 60_000;

/** A program of a PyPI package; `argv` is how it is started. */
export interface PythonProgram {
  readonly argv: readonly string[];
  readonly version: string;
}

/** `requirement` is pinned (`name[extra]==version`). Rejects with what failed. */
export async function ensurePythonProgram(requirement: string, program: string): Promise<PythonProgram> {
  const [name = '', version = ''] = requirement.split('==');
  const directory = join(cacheDirectory(), 'peers', `${name.replaceAll(/[^a-z-]/g, '-')}-${version}`);
  const python = join(directory, 'bin', 'python');
  const complete = join(directory, 'complete.json');
  const report = (pid: number | null): void =>
    console.error(`waiting for another installation${pid === null ? '' : ` (process ${pid})`}`);
  await withInstallLock(`${directory}.lock`, LOCK_LIMIT_MS, report, async () => {
    if (existsSync(complete)) return;
    console.error(`installing ${requirement} from PyPI into ${directory}`);
    await rm(directory, { recursive: true, force: true });
    await runCommand(['python3', '-m', 'venv', directory], { timeLimitMs: STEP_LIMIT_MS });
    await runCommand([python, '-m', 'pip', 'install', '--quiet', requirement], {
      timeLimitMs: STEP_LIMIT_MS,
      environment: { PIP_DISABLE_PIP_VERSION_CHECK: '1', PIP_NO_INPUT: '1' },
    });
    // Last: an interrupted installation is not taken for a finished one.
    await writeFile(complete, JSON.stringify({ requirement }));
  });
  return { argv: [python, join(directory, 'bin', program)], version };
}
