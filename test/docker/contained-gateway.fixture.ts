/**
 * A gateway inside of a container: starts an engine (or adopts one), asks it something, and prints what it saw as one
 * line of JSON. `leave`: the engine runs on.
 */
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EngineHandle, LaunchSpec } from '../../src/runtimes/runtime.ts';
import { type GatewayOptions, openGateway } from './gateway-options.ts';

export interface ContainedReport {
  readonly capabilities: { readonly unixSockets: boolean; readonly isPrivate: boolean };
  readonly listen: EngineHandle['listen'];
  readonly hasKey: boolean;
  /** What the engine answered: the Authorization it was sent, and its own environment's key. */
  readonly answer: string;
  readonly stopped: string;
}

const ATTEMPTS_MAX = 50;
const ATTEMPT_EVERY_MS = 100;

const [optionsText = '{}', mode = 'launch', specText = '{}'] = process.argv.slice(2);
const runtime = await openGateway(JSON.parse(optionsText) as GatewayOptions);
const handle = mode === 'adopt' ? await adopt() : await launch();
const answer = await ask(handle);
const stopped = mode === 'leave' ? 'left running' : (await runtime.stop(handle, 5_000)).kind;
await runtime.close();
const { capabilities } = runtime;
process.stdout.write(
  `${JSON.stringify({ capabilities, listen: handle.listen, hasKey: handle.authorization !== null, answer, stopped } satisfies ContainedReport)}\n`,
);
process.exit(0);

async function launch(): Promise<EngineHandle> {
  const base = JSON.parse(specText) as LaunchSpec;
  const listen = await runtime.address(base.launchId, 'unix');
  const address = listen.kind === 'unix' ? [listen.socketPath] : [String(listen.port), listen.host];
  const up = Promise.withResolvers<void>();
  const result = await runtime.launch(
    { ...base, listen, argv: [...base.argv, ...address] },
    { line: (text) => void (text === 'up' && up.resolve()), exited: () => up.reject(new Error('it ended')) },
  );
  if (result.kind === 'failed') throw new Error(result.detail);
  await up.promise;
  return result.handle;
}

async function adopt(): Promise<EngineHandle> {
  const [engine] = await runtime.adopt(() => ({ line: () => undefined, exited: () => undefined }));
  if (engine === undefined) throw new Error('nothing was adopted');
  return engine.handle;
}

/** As probes do: until it answers, for a while. */
async function ask(asked: EngineHandle): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await askOnce(asked);
    } catch (error) {
      if (attempt >= ATTEMPTS_MAX) throw error;
      await sleep(ATTEMPT_EVERY_MS);
    }
  }
}

function askOnce({ listen, authorization }: EngineHandle): Promise<string> {
  const where =
    listen.kind === 'unix' ? { socketPath: listen.socketPath } : { host: listen.host, port: listen.port };
  const headers = authorization === null ? {} : { authorization };
  return new Promise((resolve, reject) => {
    request({ ...where, headers, path: '/health', timeout: 5_000 }, (response) => {
      response.setEncoding('utf8').once('data', resolve);
    })
      .once('timeout', () => reject(new Error('no answer')))
      .once('error', reject)
      .end();
  });
}
