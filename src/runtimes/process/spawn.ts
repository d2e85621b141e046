/** Starting a process that does not depend on us: own session, no shell, no pipe. */

import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { LaunchResult } from '../runtime.ts';

/** Host memory running out shall end an engine, which can be started again, before the gateway. */
const ENGINE_OOM_SCORE_ADJUSTMENT = 500;

export type SpawnResult =
  | { readonly kind: 'spawned'; readonly child: ChildProcess; readonly pid: number }
  | Extract<LaunchResult, { readonly kind: 'failed' }>;

/**
 * Resolves when the program runs or could not be started. `onSpawned` is called in the same turn as the spawn, while
 * nobody can have reaped the child, so that its start time can still be read however short its life was.
 */
export async function spawnDetached(
  argv: readonly string[],
  environment: Readonly<Record<string, string>>,
  outputPath: string,
  onSpawned: (child: ChildProcess, pid: number) => void,
): Promise<SpawnResult> {
  const [program, ...rest] = argv;
  if (program === undefined) {
    return { kind: 'failed', cause: 'executable_missing', detail: 'the command is empty' };
  }
  const output = await open(outputPath, 'a', 0o600);
  try {
    const child = spawn(program, rest, {
      detached: true,
      shell: false,
      stdio: ['ignore', output.fd, output.fd],
      env: environment,
    });
    const { pid } = child;
    if (pid !== undefined) {
      adjustOomScore(pid);
      onSpawned(child, pid);
      // A listener for late errors, which would otherwise be thrown; the exit tells all that matters.
      child.on('error', () => undefined);
      return { kind: 'spawned', child, pid };
    }
    return await new Promise<SpawnResult>((resolve) => {
      child.once('error', (error: NodeJS.ErrnoException) => resolve(spawnFailure(program, error)));
    });
  } catch (error) {
    return spawnFailure(program, error as NodeJS.ErrnoException);
  } finally {
    await output.close();
  }
}

function adjustOomScore(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, String(ENGINE_OOM_SCORE_ADJUSTMENT));
  } catch {
    // Not this system, or not allowed: a wish, not a condition.
  }
}

function spawnFailure(program: string, error: NodeJS.ErrnoException): SpawnResult {
  const { code } = error;
  const because = code ?? error.message;
  if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENOEXEC') {
    return {
      kind: 'failed',
      cause: 'executable_missing',
      detail: `${program} cannot be found or is no program (${because}): install vLLM or set \`vllm_executable\`, or mend \`command\` where it names the program`,
    };
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return { kind: 'failed', cause: 'permission', detail: `${program} may not be executed (${because})` };
  }
  return { kind: 'failed', cause: 'resources', detail: `${program} could not be started (${because})` };
}
