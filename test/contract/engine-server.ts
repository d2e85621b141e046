/**
 * An engine process of the contract suite: started from an argument list, its output kept line by line, its process group
 * watched and ended whole.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { readWhatIsWritten } from '../fakes/waiting.ts';
import { type EngineAddress, exchange } from './http-exchange.ts';

const pollMs = 50;

export interface EngineStart {
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly address: EngineAddress;
  readonly startLimitMs: number;
}

export interface OutputLine {
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

/** How a process ended. */
export interface StartOutcome {
  readonly code: number | null;
  readonly signal: string | null;
  readonly lines: readonly OutputLine[];
}

export interface GroupMember {
  readonly pid: number;
  readonly title: string;
}

export interface EngineServer {
  readonly address: EngineAddress;
  readonly pid: number;
  readonly lines: readonly OutputLine[];
  /** Resolves when /health answers 200 and what was written until then is read; rejects with the output when the process ends or the limit passes. */
  ready(): Promise<void>;
  signal(name: NodeJS.Signals): void;
  /** Resolves with how the process ended and all that it wrote; rejects after the limit. */
  exited(limitMs: number): Promise<StartOutcome>;
  /** Living processes of the group, the first one included. */
  group(): GroupMember[];
  /** Ends every process of the group and waits until none is left. */
  end(): Promise<void>;
  /** Resolves when a line with this text has been written; rejects after the limit. */
  wrote(text: string, limitMs: number): Promise<void>;
}

export function startEngine(start: EngineStart): EngineServer {
  const [file = '', ...rest] = start.argv;
  const child = spawn(file, rest, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...start.environment },
  });
  const pid = child.pid ?? 0;
  const lines: OutputLine[] = [];
  for (const stream of ['stdout', 'stderr'] as const) {
    createInterface({ input: child[stream] }).on('line', (text) => lines.push({ stream, text }));
  }
  const exit = watchExit(child);
  const text = (): string => lines.map((line) => line.text).join('\n');
  const until = async (
    what: string,
    limitMs: number,
    done: () => boolean | Promise<boolean>,
  ): Promise<void> => {
    const deadline = performance.now() + limitMs;
    while (!(await done())) {
      if (performance.now() > deadline)
        throw new Error(`${what} within ${limitMs} ms:\n${text().slice(-3000)}`);
      await delay(pollMs);
    }
  };
  const endGroup = async (): Promise<void> => {
    signalGroup(pid, 'SIGKILL');
    await until('the process group did not end', 10_000, () => groupMembers(pid).length === 0);
    child.stdout.destroy();
    child.stderr.destroy();
  };
  return {
    address: start.address,
    pid,
    lines,
    ready: async () => {
      await until('the engine was not ready', start.startLimitMs, async () => {
        if (exit.outcome !== null)
          throw new Error(`the engine ended before it was ready:\n${text().slice(-3000)}`);
        const answer = await exchange(start.address, { path: '/health', patienceMs: 1000 });
        return answer.status === 200;
      });
      await readWhatIsWritten();
    },
    signal: (name) => child.kill(name),
    exited: async (limitMs) => {
      await until('the engine did not exit', limitMs, () => exit.outcome !== null);
      await readWhatIsWritten();
      return { code: exit.outcome?.code ?? null, signal: exit.outcome?.signal ?? null, lines };
    },
    group: () => groupMembers(pid),
    end: endGroup,
    wrote: (wanted, limitMs) => until(`"${wanted}" was not written`, limitMs, () => text().includes(wanted)),
  };
}

function watchExit(child: ChildProcess): { outcome: { code: number | null; signal: string | null } | null } {
  const state: { outcome: { code: number | null; signal: string | null } | null } = { outcome: null };
  child.once('error', () => {
    state.outcome = { code: null, signal: 'could not be started' };
  });
  // "close" would wait for every process that inherited the pipes, and an engine core may outlive its server.
  child.once('exit', (code, signal) => {
    state.outcome = { code, signal };
  });
  return state;
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  if (pid === 0) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // Nobody is left in it.
  }
}

/** Processes whose group is `pgid` and that are not zombies. */
export function groupMembers(pgid: number): GroupMember[] {
  const members: GroupMember[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const [state, , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(group) !== pgid || state === 'Z') continue;
      const title = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      members.push({ pid: Number(name), title });
    } catch {
      // It ended while we looked.
    }
  }
  return members;
}
