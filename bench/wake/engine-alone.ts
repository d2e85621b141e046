/** How long the simulated engine itself takes for what it is told, asked directly and without a gateway: the floor of a move. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createEngineHttp } from '../../src/engines/engine-http.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/vllm-sim.mjs', import.meta.url));
const POLL_MS = 2;
const REQUEST_LIMIT_MS = 10_000;

export interface EngineTimes {
  /** Beyond what it is told to take. */
  readonly startExcessMs: number;
  readonly sleepExcessMs: number;
  readonly wakeExcessMs: number;
  /** From SIGTERM to the end of its last process. */
  readonly stopMs: number;
}

export interface ToldTimes {
  readonly loadS: number;
  readonly sleepS: number;
  readonly wakeS: number;
}

/** One start, sleep, waking and stop. */
export async function engineAlone({ loadS, sleepS, wakeS }: ToldTimes): Promise<EngineTimes> {
  const directory = await mkdtemp(join(tmpdir(), 'vg-alone-'));
  const socketPath = join(directory, 'socket');
  const flags = { 'sim-load-seconds': loadS, 'sim-sleep-seconds': sleepS, 'sim-wake-seconds': wakeS };
  const words = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const argv = [PROGRAM, 'serve', 'model', '--uds', socketPath, '--enable-sleep-mode', ...words];
  const environment = { ...process.env, VLLM_SERVER_DEV_MODE: '1' };
  const begunMs = performance.now();
  const child = spawn(process.execPath, argv, { stdio: 'ignore', detached: true, env: environment });
  const http = createEngineHttp({ kind: 'unix', socketPath });
  const ask = async (method: 'GET' | 'POST', path: string): Promise<number> => {
    const sentMs = performance.now();
    const { status } = await http.request({ method, path, timeoutMs: REQUEST_LIMIT_MS });
    if (status !== 200) throw new Error(`${path} answers ${status}`);
    return performance.now() - sentMs;
  };
  try {
    for (;;) {
      const isReady = await ask('GET', '/health').then(
        () => true,
        () => false,
      );
      if (isReady) break;
      await pause(POLL_MS);
    }
    const startMs = performance.now() - begunMs;
    const sleepMs = await ask('POST', '/sleep?level=1&mode=abort');
    const wakeMs = await ask('POST', '/wake_up');
    const endedMs = performance.now();
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
    while (isGroupAlive(child.pid)) await pause(POLL_MS);
    return {
      startExcessMs: startMs - loadS * 1000,
      sleepExcessMs: sleepMs - sleepS * 1000,
      wakeExcessMs: wakeMs - wakeS * 1000,
      stopMs: performance.now() - endedMs,
    };
  } finally {
    if (isGroupAlive(child.pid)) process.kill(-(child.pid ?? 0), 'SIGKILL');
    await rm(directory, { recursive: true, force: true });
  }
}

function isGroupAlive(pid: number | undefined): boolean {
  try {
    return pid !== undefined && process.kill(-pid, 0);
  } catch {
    return false;
  }
}
