/** Runs a small tool to its end, with limits on time and output. */
import { spawn } from 'node:child_process';

/** Nothing that we ask of a tool is larger. */
const OUTPUT_CHARS_MAX = 1024 * 1024;

export type ToolResult =
  | { readonly kind: 'exited'; readonly code: number; readonly stdout: string; readonly stderr: string }
  | { readonly kind: 'missing'; readonly detail: string }
  | { readonly kind: 'hung'; readonly timeLimitMs: number };

export type RunTool = (argv: readonly string[], timeLimitMs: number) => Promise<ToolResult>;

/** Never throws; a tool that exceeds its time is killed. `environment` is all that it gets. */
export function createToolRunner(environment: Readonly<Record<string, string | undefined>>): RunTool {
  return (argv, timeLimitMs) =>
    new Promise((resolve) => {
      const [file = '', ...rest] = argv;
      const child = spawn(file, rest, {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...environment },
      });
      const output = { stdout: '', stderr: '' };
      let hung = false;
      const timer = setTimeout(() => {
        hung = true;
        child.kill('SIGKILL');
        // A tool stuck in the driver does not even die: we stop waiting, and its pipes must not keep us alive.
        child.stdout.destroy();
        child.stderr.destroy();
        child.unref();
        resolve({ kind: 'hung', timeLimitMs });
      }, timeLimitMs);
      for (const stream of ['stdout', 'stderr'] as const) {
        child[stream].setEncoding('utf8');
        child[stream].on('data', (text: string) => {
          if (output[stream].length < OUTPUT_CHARS_MAX) output[stream] += text;
        });
      }
      child.once('error', (error) => {
        clearTimeout(timer);
        resolve({ kind: 'missing', detail: error.message });
      });
      child.once('close', (code) => {
        clearTimeout(timer);
        if (!hung) resolve({ kind: 'exited', code: code ?? 1, ...output });
      });
    });
}
