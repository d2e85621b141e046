/** Engines that are processes of this host, read from /proc. */
import { readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import type { EngineSource, EngineWord, LivingEngine } from './engine-census.ts';

const LAUNCH_VARIABLE = 'VLLM_GATEWAY_LAUNCH_ID';
/** A healthy engine answers in a few milliseconds, on a busy machine in some hundred. */
const WORD_LIMIT_MS = 3_000;

interface Row {
  readonly pid: number;
  readonly sessionId: number;
  readonly startTicks: string;
  /** Null for a process whose environment is not ours, or not there. */
  readonly launchId: string | null;
}

/**
 * `mark`: an entry of the environment, `NAME=value`, that every engine of the gateway carries and nobody else does, such as
 * the ledger of its simulated devices.
 */
export function processCensus(mark: string): EngineSource {
  const living = async (): Promise<readonly LivingEngine[]> => enginesOf(readRows(mark));
  return {
    living,
    ask: wordOf,
    async endAll() {
      for (const { pids } of await living()) for (const pid of pids) killNow(pid);
    },
  };
}

function enginesOf(rows: readonly Row[]): readonly LivingEngine[] {
  const ids = new Set(rows.flatMap(({ launchId }) => (launchId === null ? [] : [launchId])));
  return [...ids].map((launchId) => {
    const carrying = rows.filter((row) => row.launchId === launchId);
    // Every engine leads a session of its own; what it starts is in it or carries its launch id.
    const leader = carrying.find(({ pid, sessionId }) => pid === sessionId);
    const sessions = new Set(carrying.map(({ sessionId }) => sessionId));
    const family = rows.filter((row) => row.launchId === launchId || sessions.has(row.sessionId));
    const words = leader === undefined ? [] : commandOf(leader.pid);
    return {
      launchId,
      model: wordAfter(words, '--served-model-name'),
      identity: leader === undefined ? null : `${leader.pid}:${leader.startTicks}`,
      pids: family.map(({ pid }) => pid),
      socketPath: wordAfter(words, '--uds'),
    };
  });
}

function readRows(mark: string): readonly Row[] {
  return readdirSync('/proc').flatMap((name) => {
    const row = /^\d+$/.test(name) ? readRow(Number(name), mark) : null;
    return row === null ? [] : [row];
  });
}

/** Null for a process that is gone or a zombie. */
function readRow(pid: number, mark: string): Row | null {
  const stat = textOf(pid, 'stat');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, , , sessionId] = fields;
  const startTicks = fields[19];
  if (startTicks === undefined || state === 'Z' || state === 'X') return null;
  const entries = textOf(pid, 'environ').split('\0');
  const launch = entries.find((entry) => entry.startsWith(`${LAUNCH_VARIABLE}=`));
  const launchId =
    launch !== undefined && entries.includes(mark) ? launch.slice(LAUNCH_VARIABLE.length + 1) : null;
  return { pid, sessionId: Number(sessionId), startTicks, launchId };
}

function commandOf(pid: number): readonly string[] {
  return textOf(pid, 'cmdline').split('\0');
}

function textOf(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

function wordAfter(words: readonly string[], flag: string): string | null {
  const at = words.indexOf(flag);
  return at < 0 ? null : (words[at + 1] ?? null);
}

/** Whether the process is there, and not a zombie. */
export function isAlive(pid: number): boolean {
  const stat = textOf(pid, 'stat');
  return stat !== '' && !/^[ZX]$/.test(stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3));
}

export function killNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}

async function wordOf(engine: LivingEngine): Promise<EngineWord> {
  const { socketPath } = engine;
  if (socketPath === null || (await ask(socketPath, '/health')) === null) return 'silent';
  const answer = await ask(socketPath, '/is_sleeping');
  // Without development routes it has no such route, and cannot sleep.
  return answer?.includes('true') ? 'asleep' : 'awake';
}

/** The body of a 200, else null. */
function ask(socketPath: string, path: string): Promise<string | null> {
  return new Promise((resolve) => {
    const asked = request({ socketPath, path, timeout: WORD_LIMIT_MS, agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      answer.once('end', () => resolve(answer.statusCode === 200 ? text : null));
      answer.once('error', () => resolve(null));
    });
    asked.once('timeout', () => asked.destroy());
    asked.once('error', () => resolve(null));
    asked.end();
  });
}
