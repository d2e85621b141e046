/** Engines that are processes of this host, read from /proc. */
import { readdirSync, readFileSync } from 'node:fs';
import type { EngineSource, LivingEngine } from './engine-census.ts';
import { wordAfter, wordOf } from './engine-word.ts';

const LAUNCH_VARIABLE = 'VLLM_GATEWAY_LAUNCH_ID';

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
  const living = (): readonly LivingEngine[] => enginesOf(readRows(mark));
  return {
    // Of a process that has ended nothing stands anywhere.
    look: async () => ({ engines: living(), remnants: [] }),
    ask: wordOf,
    async endAll() {
      for (const { pids } of living()) for (const pid of pids) killNow(pid);
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
