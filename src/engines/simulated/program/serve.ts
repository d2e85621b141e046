/**
 * `vllm-sim serve`: a whole engine's life, from the command line to the exit code.
 *
 * Exit codes are vLLM's: 0 after a signal and also after the engine core died, 1 for a failed start, 2 for a bad command line.
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import type { Server } from 'node:net';
import { type SimContext, scaledMs } from './context.ts';
import { type EngineCore, startEngineCore } from './engine-core.ts';
import { type Faults, faultsForThisProcess } from './faults.ts';
import { Generation } from './generation.ts';
import { createSimLog, type SimLog } from './log.ts';
import { createDeviceMemory, type MemoryOwner, StartError } from './memory.ts';
import { createSimMetrics } from './metrics.ts';
import { parseOptions, type SimOptions } from './options.ts';
import { openRequestLog } from './request-log.ts';
import type { Route } from './route.ts';
import { routesOf } from './routes.ts';
import { createSimServer, type SimServer } from './server.ts';
import { createSleepState } from './sleep.ts';
import { configure, initialise, reportStartError, type Start } from './startup.ts';
import { createVocabulary } from './text.ts';

/** vLLM looks every five seconds whether its engine core still lives. */
const WATCHDOG_S = 5;
/** With this code uvicorn closes WebSockets when it ends. */
const SERVICE_RESTART = 1012;
/** How long ended streams get to leave before the process goes. */
const FLUSH_MS = 50;

const DISK_TEXTS: ReadonlyMap<string, string> = new Map([
  ['ENOSPC', 'No space left on device'],
  ['EDQUOT', 'Disk quota exceeded'],
  ['EROFS', 'Read-only file system'],
  ['EIO', 'Input/output error'],
]);

/** Runs until the process ends; returns only for a command line that is refused. */
export async function serve(argv: readonly string[]): Promise<number> {
  const parsed = parseOptions(argv, process.env);
  if (!parsed.ok) {
    process.stderr.write(parsed.text);
    return 2;
  }
  const { options } = parsed;
  const faults = faultsForThisProcess(options.sim.faults, options.sim.faultOnceFile);
  let core: EngineCore | null = null;
  const log = createSimLog(() => core?.pid ?? process.pid);
  const signals = createSignals(() => {
    // During the start SIGTERM is a KeyboardInterrupt: the process dies by SIGINT.
    if (faults.ignoreSigterm) return;
    core?.killNow();
    process.removeAllListeners('SIGINT');
    process.kill(process.pid, 'SIGINT');
  });
  try {
    const http = createSimServer(options.environment.keepAliveS);
    const server = http.server;
    await checkAddress(options);
    const start: Start = { options, faults, log, schedule: { dueMs: 0 } };
    await configure(start);
    core = await startEngineCore(options.sim.engineCore);
    const memory = createDeviceMemory(options, faults, memoryOwner(core));
    const started = await initialise(start, memory);
    const context = createContext(options, faults, log, core, memory, started, () =>
      engineDied(context, server),
    );
    await openForRequests(context, http);
    await serveUntilAsked(context, server, signals);
    return 0;
  } catch (error) {
    core?.killNow();
    const failed = error instanceof StartError ? error : ledgerError(error, options);
    if (failed === null) throw error;
    reportStartError(log, failed);
    return 1;
  }
}

/** What a disk does to the ledger, in Python's words, so that the engine's last line names it. Null: it is no such thing. */
function ledgerError(error: unknown, options: SimOptions): StartError | null {
  const { code, errno } = error as NodeJS.ErrnoException;
  const text = code === undefined ? undefined : DISK_TEXTS.get(code);
  if (text === undefined) return null;
  const { ledgerDirectory } = options.environment;
  return new StartError('OSError', `[Errno ${Math.abs(errno ?? 0)}] ${text}: '${ledgerDirectory}'`);
}

/** One listener for the whole life: a signal that comes while listeners are exchanged would be lost. */
interface Signals {
  react: () => void;
}

function createSignals(react: () => void): Signals {
  const signals: Signals = { react };
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => signals.react());
  return signals;
}

function memoryOwner(core: EngineCore): MemoryOwner {
  return {
    pid: core.pid,
    kill: () => {
      core.killNow();
      process.kill(process.pid, 'SIGKILL');
      // Until the signal is there: nothing may be logged any more.
      for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    },
  };
}

function createContext(
  options: SimOptions,
  faults: Faults,
  log: SimLog,
  core: EngineCore,
  memory: SimContext['memory'],
  started: Pick<SimContext, 'kv' | 'maxModelLen'>,
  died: () => void,
): SimContext {
  return {
    options,
    faults,
    log,
    core,
    memory,
    kv: started.kv,
    maxModelLen: started.maxModelLen,
    generation: new Generation({
      maxNumSeqs: options.maxNumSeqs,
      tokensPerSecond: options.sim.tokensPerSecond,
      prefillTokensPerSecond: options.sim.prefillTokensPerSecond,
      timeScale: options.sim.timeScale,
    }),
    sleep: createSleepState(),
    metrics: createSimMetrics(),
    requestLog: openRequestLog(options.sim.requestLogFile),
    vocabulary: createVocabulary(),
    loras: new Map(options.loras),
    webSockets: new Set(),
    startedWallS: Math.floor(Date.now() / 1000),
    life: { dead: false, draining: false, healthyFromMs: 0, engineDied: died },
  };
}

async function openForRequests(context: SimContext, http: SimServer): Promise<void> {
  const { log, options } = context;
  const routes = routesOf(context);
  const tasks = {
    generate: ['generate'],
    embed: ['token_embed', 'embed'],
    classify: ['classify'],
    transcription: ['transcription'],
  }[options.sim.task];
  log.api('api_server.py:612', `Supported tasks: [${tasks.map((task) => `'${task}'`).join(', ')}]`);
  const where =
    options.socketPath === null
      ? `http://${options.host ?? '0.0.0.0'}:${options.port}`
      : `unix:${options.socketPath}`;
  log.api('api_server.py:640', `Starting vLLM server on ${where}`);
  log.api('launcher.py:188', 'Available routes are:');
  for (const route of routes)
    log.api('launcher.py:198', `Route: ${route.path}, Methods: ${routeMethods(route)}`);
  log.bare(`INFO:     Started server process [${process.pid}]`);
  log.bare('INFO:     Waiting for application startup.');
  http.serve(context, routes);
  if (context.faults.lateReadyS !== null) {
    context.life.healthyFromMs = performance.now() + scaledMs(options, context.faults.lateReadyS);
  }
  await listen(http.server, options);
  context.core.onDeath(() => engineDied(context, http.server));
  log.bare('INFO:     Application startup complete.');
  if (context.faults.exitZeroAfterS !== null) {
    setTimeout(
      () => {
        context.core.killNow();
        process.exit(0);
      },
      scaledMs(options, context.faults.exitZeroAfterS),
    );
  }
}

function routeMethods(route: Route): string {
  return route.method === 'GET' && (route.path.startsWith('/doc') || route.path === '/openapi.json')
    ? 'HEAD, GET'
    : route.method;
}

/** The engine core is gone: everything fails from now on, and the watchdog ends the server with code 0. */
function engineDied(context: SimContext, server: Server): void {
  if (context.life.dead) return;
  context.life.dead = true;
  context.log.api(
    'core_client.py:698',
    'Engine core proc EngineCore died unexpectedly, shutting down client.',
    'ERROR',
  );
  context.core.killNow();
  context.generation.abort(null, 'error');
  if (context.options.environment.keepAliveOnEngineDeath) return;
  setTimeout(() => leave(context, server), scaledMs(context.options, WATCHDOG_S));
}

async function serveUntilAsked(context: SimContext, server: Server, signals: Signals): Promise<void> {
  const closed = once(server, 'close');
  const asked = new Promise<boolean>((resolve) => {
    if (!context.faults.ignoreSigterm) signals.react = () => resolve(true);
    closed.then(() => resolve(false));
  });
  if (!(await asked)) return;
  const { generation, log, options } = context;
  const timeoutS = options.shutdownTimeoutS;
  const mode = timeoutS === 0 ? 'abort' : 'drain';
  log.api('launcher.py:250', '[shutdown] API server: shutdown triggered');
  log.api(
    'launcher.py:263',
    `[shutdown] API server: stopping engine client mode=${mode} timeout=${timeoutS}s`,
  );
  context.life.draining = true;
  if (timeoutS > 0) await Promise.race([generation.idle(), after(scaledMs(options, timeoutS))]);
  generation.abort(null, 'abort');
  await context.core.kill();
  log.api('launcher.py:271', '[shutdown] API server: engine client stopped');
  log.bare('INFO:     Shutting down');
  leave(context, server);
  // uvicorn waits for connections that are still busy, without a limit; idle ones it closes.
  await closed;
  log.bare('INFO:     Waiting for application shutdown.');
  log.bare('INFO:     Application shutdown complete.');
  log.bare(`INFO:     Finished server process [${process.pid}]`);
}

/** Stops listening and closes what is idle, now and shortly after, when ended streams have been flushed. */
function leave(context: SimContext, server: Server): void {
  const closing = server as Server & { closeIdleConnections?: () => void };
  server.close();
  for (const socket of context.webSockets) socket.close(SERVICE_RESTART);
  closing.closeIdleConnections?.();
  setTimeout(() => closing.closeIdleConnections?.(), FLUSH_MS);
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** vLLM binds before it does any work, so a taken address fails in an instant. A socket file that exists is taken. */
async function checkAddress(options: SimOptions): Promise<void> {
  if (options.socketPath !== null) {
    if (existsSync(options.socketPath)) throw addressInUse();
    return;
  }
  const { createServer } = await import('node:net');
  const probe = createServer((socket) => socket.destroy());
  await listen(probe, options);
  await new Promise((resolve) => probe.close(resolve));
}

async function listen(server: Server, options: SimOptions): Promise<void> {
  const where =
    options.socketPath === null
      ? { port: options.port, host: options.host ?? '0.0.0.0', backlog: 2048 }
      : { path: options.socketPath, backlog: 2048 };
  server.listen(where);
  try {
    await once(server, 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') throw addressInUse();
    throw error;
  }
}

function addressInUse(): StartError {
  return new StartError('OSError', '[Errno 98] Address already in use', 'api');
}
