/** One life of a gateway that will be killed: its process, its log, and the points at which it can be waited for. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { LoggedMove } from './checks.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/vllm-gateway.mjs', import.meta.url));
const READY_POLL_MS = 5;
/** `CRASH_LOG=FILE`: what all the gateways log, for whoever looks for a fault's cause. */
const LOG_FILE = process.env['CRASH_LOG'];
const LOG_LINES_MAX = 20_000;

export interface LifeSetup {
  readonly configFile: string;
  readonly stateDirectory: string;
  readonly port: number;
}

interface Line {
  readonly time: string;
  readonly msg: string;
  readonly level: number;
  readonly launch?: string;
}

export class GatewayLife {
  readonly pid: number;
  readonly url: string;
  readonly spawnedMs = performance.now();
  readonly lines: Line[] = [];
  /** Standard error, and lines of the log that are none. */
  readonly stray: string[] = [];
  /** Since the start of this clock; infinite until then. */
  listeningMs = Number.POSITIVE_INFINITY;
  readyMs = Number.POSITIVE_INFINITY;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #listeners = new Set<(line: Line) => void>();
  #hasExited = false;

  constructor(setup: LifeSetup) {
    const { PATH = '', HOME = '/', NODE_COMPILE_CACHE } = process.env;
    this.url = `http://127.0.0.1:${setup.port}`;
    this.#child = spawn(process.execPath, [LAUNCHER, ...wordsOf(setup)], {
      env: {
        ...{ PATH, HOME, HF_HUB_OFFLINE: '1' },
        ...(NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE }),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.pid = this.#child.pid ?? 0;
    this.#exited = once(this.#child, 'close');
    this.#child.once('exit', () => {
      this.#hasExited = true;
    });
    const { stdout, stderr } = this.#child;
    if (stdout !== null) createInterface({ input: stdout }).on('line', (text) => this.#read(text));
    if (stderr !== null) createInterface({ input: stderr }).on('line', (text) => this.stray.push(text));
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  /** What it has said of launches. */
  get moves(): readonly LoggedMove[] {
    return this.lines.flatMap(({ msg, launch }) =>
      launch === undefined ? [] : [{ launchId: launch, text: msg }],
    );
  }

  /** SIGKILL; resolves when the process is gone and its log has been read. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  /** SIGTERM; resolves with the exit code, null when it had to be killed at the limit. */
  async stop(limitMs: number): Promise<number | null> {
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), limitMs);
    await this.#exited;
    clearTimeout(timer);
    return this.#child.exitCode;
  }

  /** Until `/ready` says yes; false when it does not within the limit, or the gateway ends. */
  async untilReady(limitMs: number): Promise<boolean> {
    const deadlineMs = performance.now() + limitMs;
    while (performance.now() < deadlineMs && !this.#hasExited) {
      const signal = AbortSignal.timeout(limitMs);
      const answer = await fetch(`${this.url}/ready`, { signal }).catch(() => null);
      await answer?.arrayBuffer().catch(() => undefined);
      if (answer?.status === 200) {
        this.readyMs = performance.now();
        return true;
      }
      await pause(READY_POLL_MS);
    }
    return false;
  }

  /** Until a line that matches is logged; false at the limit, or when the gateway ends. */
  untilLine(pattern: RegExp, limitMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (isFound: boolean): void => {
        clearTimeout(timer);
        this.#listeners.delete(listener);
        resolve(isFound);
      };
      const listener = ({ msg }: Line): void => {
        if (pattern.test(msg)) end(true);
      };
      const timer = setTimeout(() => end(false), limitMs);
      this.#listeners.add(listener);
      void this.#exited.then(() => end(false));
    });
  }

  #read(text: string): void {
    if (LOG_FILE !== undefined) appendFileSync(LOG_FILE, `${text}\n`);
    const line = parseLine(text);
    if (line === null || this.lines.length >= LOG_LINES_MAX) {
      this.stray.push(text);
      return;
    }
    this.lines.push(line);
    if (line.msg.startsWith('listening on ')) this.listeningMs = performance.now();
    for (const listener of this.#listeners) listener(line);
  }
}

/** The command line of a gateway, after the launcher. */
export function wordsOf({ configFile, stateDirectory, port }: LifeSetup): readonly string[] {
  return ['serve', '--config', configFile, '--state-directory', stateDirectory, '--port', String(port)];
}

function parseLine(text: string): Line | null {
  try {
    const line = JSON.parse(text) as Partial<Line>;
    return typeof line.msg === 'string' ? (line as Line) : null;
  } catch {
    // The last line of a killed process may be half of one.
    return null;
  }
}
