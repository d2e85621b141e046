/** Runs a small tool to its end, with limits on time and output. */
import { type ChildProcess, spawn } from 'node:child_process';

/** Nothing that we ask of a tool is larger. */
const OUTPUT_CHARS_MAX = 1024 * 1024;

export type ToolResult =
  | { readonly kind: 'exited'; readonly code: number; readonly stdout: string; readonly stderr: string }
  | { readonly kind: 'missing'; readonly detail: string }
  | { readonly kind: 'hung'; readonly timeLimitMs: number };

/** `signal` calls it off: the tool is killed, and the result is as if it had hung. */
export type RunTool = (
  argv: readonly string[],
  timeLimitMs: number,
  signal?: AbortSignal,
) => Promise<ToolResult>;

/** Never throws; a tool that exceeds its time is killed. `environment` is all that it gets. */
export function createToolRunner(environment: Readonly<Record<string, string | undefined>>): RunTool {
  return (argv, timeLimitMs, signal) =>
    new Promise((resolve) => {
      const [file = '', ...rest] = argv;
      const child = spawn(file, rest, {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...environment },
        // Killed as a group: the command may be a wrapper.
        detached: true,
      });
      const output = { stdout: '', stderr: '' };
      let hung = false;
      const giveUp = (): void => {
        hung = true;
        over();
        killGroup(child);
        // A tool stuck in the driver does not even die: we stop waiting, and its pipes must not keep us alive.
        child.stdout.destroy();
        child.stderr.destroy();
        child.unref();
        resolve({ kind: 'hung', timeLimitMs });
      };
      const timer = setTimeout(giveUp, timeLimitMs);
      const over = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', giveUp);
      };
      signal?.addEventListener('abort', giveUp, { once: true });
      if (signal?.aborted === true) giveUp();
      for (const stream of ['stdout', 'stderr'] as const) {
        child[stream].setEncoding('utf8');
        child[stream].on('data', (text: string) => {
          if (output[stream].length < OUTPUT_CHARS_MAX) output[stream] += text;
        });
      }
      child.once('error', (error) => {
        over();
        resolve({ kind: 'missing', detail: error.message });
      });
      child.once('close', (code) => {
        over();
        if (!hung) resolve({ kind: 'exited', code: code ?? 1, ...output });
      });
    });
}

function killGroup({ pid, exitCode, signalCode }: ChildProcess): void {
  if (pid === undefined || exitCode !== null || signalCode !== null) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}
