/**
 * The process in the place of vLLM's engine core: it holds the memory and outlives an API server that was killed. It does
 * nothing, so the cheapest sleeping program is enough.
 */
import { type ChildProcess, spawn } from 'node:child_process';

const TITLE = 'VLLM::EngineCore';
/** `sleep` wants a number; this one is 68 years. */
const FOR_EVER_S = '2147483647';

export interface EngineCore {
  readonly pid: number;
  /** Called once if it dies and we did not ask. */
  onDeath(react: () => void): void;
  /** SIGKILL, as vLLM ends its tree; resolves when it is gone. */
  kill(): Promise<void>;
  /** The same where nothing may be awaited: just before the process ends. */
  killNow(): void;
}

/** Starts it; without a process (`--sim-no-engine-core`) the API server holds the memory itself. */
export async function startEngineCore(separate: boolean): Promise<EngineCore> {
  if (!separate) {
    return { pid: process.pid, onDeath: () => {}, kill: () => Promise.resolve(), killNow: () => {} };
  }
  const child = spawn('sleep', [FOR_EVER_S], { argv0: TITLE, stdio: ['ignore', 'inherit', 'inherit'] });
  const pid = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => resolve(child.pid ?? 0));
  });
  return watch(child, pid);
}

function watch(child: ChildProcess, pid: number): EngineCore {
  let asked = false;
  let react: (() => void) | null = null;
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve();
      if (!asked) react?.();
    });
  });
  const killNow = (): void => {
    asked = true;
    child.kill('SIGKILL');
  };
  return {
    pid,
    onDeath: (reaction) => {
      react = reaction;
    },
    kill: () => {
      killNow();
      return gone;
    },
    killNow,
  };
}
