/** A tool that prints lines until it is told to end. It is killed as a group, because its command may be a wrapper. */
import { spawn } from 'node:child_process';

/** Lines of the tools that we read are short; of a longer one the rest is dropped. */
const LINE_CHARS_MAX = 4096;

export interface ToolStreamHandlers {
  line(text: string): void;
  /** Once, unless `kill` was called before. */
  ended(detail: string): void;
}

/** Returns the function that kills it; nothing is told afterwards. Never throws. */
export type StreamTool = (argv: readonly string[], handlers: ToolStreamHandlers) => () => void;

/** `environment` is all that the tool gets. */
export function createToolStreamer(environment: Readonly<Record<string, string | undefined>>): StreamTool {
  return (argv, handlers) => {
    const [file = '', ...rest] = argv;
    const child = spawn(file, rest, {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...environment },
      detached: true,
    });
    let over = false;
    const end = (detail: string): void => {
      if (over) return;
      over = true;
      handlers.ended(detail);
    };
    let partial = '';
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (text: string) => {
      const lines = (partial + text).split('\n');
      partial = (lines.pop() ?? '').slice(0, LINE_CHARS_MAX);
      for (const line of lines) if (!over) handlers.line(line.slice(0, LINE_CHARS_MAX));
    });
    child.once('error', (error) => end(`it cannot be run: ${error.message}`));
    child.once('exit', (code, signal) => end(`it ended with ${signal ?? `code ${code}`}`));
    return () => {
      over = true;
      child.stdout.destroy();
      // Stuck in the driver it does not even die: we stop waiting for it.
      child.unref();
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended meanwhile.
      }
    };
  };
}
