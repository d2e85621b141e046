/** `vllm-gateway serve`: from the configuration to the exit code. */
import { formatFault } from '../config/fault.ts';
import { loadConfig } from '../config/load.ts';
import type { ConfigOverrides } from '../config/overrides.ts';
import type { ResolvedConfig } from '../config/resolved-config.ts';
import { createLog, type Log } from '../telemetry/log.ts';
import { Gateway } from './gateway.ts';
import { listenFault } from './listen-addresses.ts';

export interface ServeOptions extends ConfigOverrides {
  readonly config?: string;
  readonly record?: string;
  readonly leaveEngines?: boolean;
}

/** Resolves with the exit code: 0 after an orderly end, 1 if it could not start or something was cut or left. */
export async function serve(options: ServeOptions): Promise<number> {
  const { config: file, record, leaveEngines = false, ...overrides } = options;
  const loaded = await loadConfig({ file, environment: process.env, overrides });
  if (!loaded.ok) {
    process.stderr.write(
      `${loaded.error.map(formatFault).join('\n')}\nThe configuration has faults; nothing was started.\n`,
    );
    return 1;
  }
  const config = loaded.value;
  const log = createLog({
    level: config.log.level,
    readable: process.stdout.isTTY || config.origin === 'demonstration',
  });
  for (const { level, text } of config.notices) log(level, text);
  const opened = await Gateway.open({ config, log, environment: process.env, recordFile: record ?? null });
  if (!opened.ok) {
    process.stderr.write(`${opened.error}\n`);
    return 1;
  }
  const gateway = opened.value;
  // Caught from here on: an engine may start with the first request.
  const ended = untilSignal();
  let url: string;
  try {
    url = await gateway.start();
  } catch (error) {
    process.stderr.write(`${listenFault(config, error)}\n`);
    await gateway.stop({ delayMs: 0, leaveEngines: true, hurry: AbortSignal.abort() });
    return 1;
  }
  announce(config, url, log);
  const { signal, hurry } = await ended;
  log('info', `${signal}: ending`);
  // Ctrl-C comes from a person who waits; a balancer needs the delay only before a planned end.
  const delayMs = signal === 'SIGINT' ? 0 : config.server.shutdownDelayMs;
  const clean = await gateway.stop({ delayMs, leaveEngines, hurry });
  log('info', clean ? 'ended in order' : 'ended with requests cut or engines left');
  return clean ? 0 : 1;
}

/** A terminal and npm may both deliver the same Ctrl-C. */
const SAME_SIGNAL_MS = 500;

/** The first signal begins the end; a second one, later than an echo of the first, aborts `hurry`. */
function untilSignal(): Promise<{ readonly signal: NodeJS.Signals; readonly hurry: AbortSignal }> {
  const hurry = new AbortController();
  return new Promise((resolve) => {
    let firstMs: number | null = null;
    const onSignal = (signal: NodeJS.Signals): void => {
      const nowMs = performance.now();
      if (firstMs !== null && nowMs - firstMs > SAME_SIGNAL_MS) hurry.abort();
      firstMs ??= nowMs;
      resolve({ signal, hurry: hurry.signal });
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
    // A closed terminal: without a word of ours the engines would be orphaned.
    process.on('SIGHUP', onSignal);
  });
}

function announce(config: ResolvedConfig, url: string, log: Log): void {
  log('info', `listening on ${url}`);
  const { socketPath } = config.server;
  if (socketPath !== null) log('info', `listening on unix:${socketPath}`);
  if (config.origin !== 'demonstration') return;
  const models = [...config.models.values()];
  const sizes = models.map((model) => `  ${model.name}  ${(model.need.memoryMibPerDevice ?? 0) / 1024} GiB`);
  const chat = (model: string): string =>
    `  curl ${url}/v1/chat/completions -H 'content-type: application/json' \\\n    -d '{"model": "${model}", "messages": [{"role": "user", "content": "Hello"}]}'`;
  process.stdout.write(`
vllm-gateway demonstration on ${url}
No configuration was given, so three simulated models share one simulated 24 GiB GPU, on which not all of them fit:
${sizes.join('\n')}

Try, in another terminal (the second puts the engine of the first to sleep; it answers some seconds later):
${chat('sim-medium')}
${chat('sim-large')}
  curl ${url}/v1/models
  curl ${url}/gateway/status

Serve real models with: npm start -- --config models.yaml   (docs/configuration.md)
`);
}
