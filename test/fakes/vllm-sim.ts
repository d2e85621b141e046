/**
 * Runs `vllm-sim` for a test: as a process group of its own that is killed whatever happens, listening on a Unix socket in a
 * temporary directory unless the test asks otherwise.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readWhatIsWritten } from './waiting.ts';

export const VLLM_SIM = fileURLToPath(new URL('../../bin/vllm-sim.mjs', import.meta.url));

/** A machine under load starts a process in seconds. */
const READY_TIMEOUT_MS = 30_000;

export interface SimAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  /** The parsed body. Throws when it is no JSON. */
  json(): Record<string, unknown>;
}

export interface SimRequest {
  readonly method?: string;
  readonly path: string;
  readonly body?: unknown;
  /** Sent as it is, in the place of `body`. */
  readonly rawBody?: string | Buffer;
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal;
  /** Called with each chunk of the answer as it arrives. */
  readonly onChunk?: (text: string) => void;
}

export interface SimExit {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface SimProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly socketPath: string;
  /** stdout and stderr by lines, as they arrived. */
  readonly lines: readonly string[];
  /** How it ended; by then `lines` has all that it wrote. Its engine core may live on. */
  readonly exit: Promise<SimExit>;
  /** Resolves with the first line, earlier or later, that matches; rejects when the process ends without one. */
  line(pattern: RegExp): Promise<string>;
  /** Resolves when it serves; by then `lines` has all that it wrote until it did. */
  ready(): Promise<void>;
  request(options: SimRequest): Promise<SimAnswer>;
  /** Chat with one user message; returns the answer's text. */
  chat(text: string, more?: Record<string, unknown>): Promise<string>;
}

export interface SimOptions {
  readonly model?: string;
  readonly args?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Loading takes no time unless the test wants it. */
  readonly loadSeconds?: number;
}

/** Starts one; it ends with the test. */
export function startVllmSim(test: TestContext, options: SimOptions = {}): SimProcess {
  const directory = mkdtempSync(join(tmpdir(), 'vsim-'));
  const socketPath = join(directory, 's');
  const listens = options.args?.some((word) => word === '--port' || word === '--uds') ?? false;
  const argv = [
    VLLM_SIM,
    'serve',
    options.model ?? 'acme/small',
    ...(listens ? [] : ['--uds', socketPath]),
    ...['--sim-load-seconds', String(options.loadSeconds ?? 0)],
    ...(options.args ?? []),
  ];
  const child = spawn(process.execPath, argv, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...options.environment },
  });
  const sim = observe(child, socketPath);
  test.after(async () => {
    killGroup(sim.pid);
    await sim.exit;
    rmSync(directory, { recursive: true, force: true });
  });
  return sim;
}

/** SIGKILL for the engine and whatever it started. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The group is gone already.
  }
}

function observe(child: ChildProcess, socketPath: string): SimProcess {
  const lines: string[] = [];
  const watchers = new Set<() => void>();
  const exit = once(child, 'exit').then(async (ended): Promise<SimExit> => {
    await readWhatIsWritten();
    return { code: ended[0], signal: ended[1] };
  });
  for (const stream of [child.stdout, child.stderr]) {
    let rest = '';
    stream?.setEncoding('utf8');
    stream?.on('data', (text: string) => {
      const parts = `${rest}${text}`.split('\n');
      rest = parts.pop() ?? '';
      lines.push(...parts);
      for (const watcher of watchers) watcher();
    });
  }
  const closed = once(child, 'close');
  const line = (pattern: RegExp): Promise<string> =>
    new Promise((resolve, reject) => {
      const look = (): boolean => {
        const found = lines.find((candidate) => pattern.test(candidate));
        if (found === undefined) return false;
        watchers.delete(look);
        clearTimeout(timer);
        resolve(found);
        return true;
      };
      const fail = (why: string): void => {
        if (look()) return;
        watchers.delete(look);
        clearTimeout(timer);
        reject(new Error(`${why} without a line ${pattern}:\n${lines.join('\n')}`));
      };
      const timer = setTimeout(() => fail('too long'), READY_TIMEOUT_MS);
      watchers.add(look);
      closed.then(() => fail('vllm-sim ended'));
      look();
    });
  const request = (options: SimRequest): Promise<SimAnswer> => send(socketPath, options);
  return {
    child,
    pid: child.pid ?? 0,
    socketPath,
    lines,
    exit,
    line,
    ready: async () => {
      await line(/Application startup complete/);
      await readWhatIsWritten();
    },
    request,
    chat: async (text, more = {}) => {
      const answer = await request({
        path: '/v1/chat/completions',
        body: { messages: [{ role: 'user', content: text }], ...more },
      });
      const choices = answer.json().choices as { message: { content: string } }[];
      return choices[0]?.message.content ?? '';
    },
  };
}

/** One request over the socket, on a connection of its own. */
function send(socketPath: string, options: SimRequest): Promise<SimAnswer> {
  const payload = options.rawBody ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        socketPath,
        path: options.path,
        method: options.method ?? (payload === undefined ? 'GET' : 'POST'),
        headers: {
          ...(payload === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(payload)) }),
          ...options.headers,
        },
        agent: false,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
          options.onChunk?.(chunk);
        });
        response.once('error', reject);
        response.once('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            json: () => JSON.parse(text) as Record<string, unknown>,
          }),
        );
      },
    );
    request.once('error', reject);
    request.end(payload);
  });
}

/** Frames of an event stream: `event` (if named) and the raw `data`. */
export function eventFrames(text: string): { readonly event: string | null; readonly data: string }[] {
  return text
    .split('\n\n')
    .filter((frame) => frame.trim() !== '')
    .map((frame) => ({
      event: /^event: (.*)$/m.exec(frame)?.[1] ?? null,
      data: /^data: (.*)$/m.exec(frame)?.[1] ?? '',
    }));
}
