/**
 * Starts of a real vLLM that fail, each for another cause: what the client is told, and that status and log say the same.
 * Two starts at a time, each on a device of its own: the smallest machine has two cores.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { writeDummyModel } from '../../tools/real-vllm/dummy-model.ts';
import { type RunningGateway, startGateway, until } from '../fixtures/gateway.ts';
import {
  findRealParts,
  realTest,
  simulatedDevicesConfig,
  withoutSwitch,
  writeWrapper,
} from './real-parts.ts';

const ANSWER_LIMIT_MS = 240_000;
const AT_ONCE = 2;

type Setting =
  | { readonly kind: 'running'; readonly gateway: RunningGateway }
  | { readonly kind: 'unavailable'; readonly reason: string };

let directory = '';
let setting: Setting = { kind: 'unavailable', reason: 'the gateway was not started' };
const taken: Server = createServer();

before(async () => {
  const parts = await findRealParts();
  if (parts.kind === 'unavailable') {
    setting = parts;
    return;
  }
  const { vllm, models } = parts;
  directory = await mkdtemp(join(tmpdir(), 'vg-failures-'));
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const address = taken.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const strange = join(directory, 'strange');
  await writeDummyModel(strange, 'StrangeForCausalLM');
  const wrapper = await writeWrapper({
    directory,
    name: 'vllm',
    vllm,
    steps: [withoutSwitch('--enable-sleep-mode')],
  });
  const dummy = { repo: models.dummy, max_model_len: 1024 };
  const load = ['--load-format', 'dummy'];
  const config = simulatedDevicesConfig({
    executable: [wrapper],
    devices: AT_ONCE,
    models: {
      'too-long': { ...dummy, max_model_len: 4096, extra_args: load },
      'no-path': { repo: join(directory, 'nowhere') },
      // Otherwise our own fetch fails first, and no engine is started (weights/*.test.ts).
      'no-repository': { repo: 'acme/does-not-exist', fetch: false },
      'user-flag': { ...dummy, extra_args: [...load, '--no-such-flag', '3'] },
      'port-taken': {
        engine: 'vllm',
        command: [
          ...vllm.executable,
          'serve',
          models.dummy,
          ...['--load-format', 'dummy', '--max-model-len', '1024', '--served-model-name', '{name}'],
          ...['--port', '{port}', '--host', '127.0.0.1', '--port', String(port)],
        ],
      },
      'no-memory': { ...dummy, extra_args: load, environment: { VLLM_CPU_KVCACHE_SPACE: '100000' } },
      strange: { repo: strange, max_model_len: 1024, extra_args: load },
      'no-parser': { ...dummy, extra_args: load, tool_parser: 'nonesuch' },
    },
    memoryMib: 4096,
  });
  setting = {
    kind: 'running',
    gateway: await startGateway({ config, environment: { HF_HUB_OFFLINE: '1' } }),
  };
});

after(async () => {
  taken.close();
  if (setting.kind === 'running') await setting.gateway.kill();
  if (directory !== '') await rm(directory, { recursive: true, force: true });
});

interface Failure {
  readonly model: string;
  readonly what: string;
  readonly code: 'start_failed' | 'start_failed_for_good';
  readonly text: RegExp;
}

const FAILURES: readonly Failure[] = [
  {
    model: 'too-long',
    what: 'a context beyond that of the model',
    code: 'start_failed_for_good',
    text: /max_model_len 4096 is beyond the model's own context of 2048 tokens/,
  },
  {
    model: 'no-path',
    what: 'a directory that is not there',
    code: 'start_failed_for_good',
    text: /neither a repository nor a directory with a config\.json/,
  },
  {
    model: 'no-repository',
    what: 'a repository that is not in the cache, without a hub',
    code: 'start_failed',
    text: /files of the model are missing in the cache, and the engine may not ask the hub for them/,
  },
  {
    model: 'user-flag',
    what: 'an unknown flag of the user',
    code: 'start_failed_for_good',
    text: /this vLLM does not know the arguments --no-such-flag/,
  },
  {
    model: 'port-taken',
    what: 'a port that is taken',
    code: 'start_failed',
    text: /the address to listen on was taken by another process/,
  },
  {
    model: 'no-memory',
    what: 'too little memory',
    code: 'start_failed',
    text: /out of memory: .*wanted, but only [\d.]+ of [\d.]+ GiB were free/,
  },
  {
    model: 'strange',
    what: 'an architecture that is unknown',
    code: 'start_failed_for_good',
    text: /does not support the architecture \['StrangeForCausalLM'\]/,
  },
  {
    model: 'no-parser',
    what: 'a tool parser that does not exist',
    code: 'start_failed_for_good',
    text: /the parser `nonesuch` does not exist in this vLLM/,
  },
];

interface Told {
  readonly status: number;
  readonly retry: string | null;
  readonly code: string;
  readonly message: string;
}

async function ask(gateway: RunningGateway, model: string): Promise<Told> {
  const answer = await fetch(`${gateway.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, prompt: 'one', max_tokens: 2 }),
    signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
  });
  const { error } = (await answer.json()) as { readonly error: { code: string; message: string } };
  const retry = answer.headers.get('x-should-retry');
  return { status: answer.status, retry, code: error.code, message: error.message };
}

const answers = new Map<string, Promise<Told>>();

function askAll(gateway: RunningGateway): void {
  for (const { model } of FAILURES) answers.set(model, ask(gateway, model));
}

for (const { model, what, code, text } of FAILURES) {
  realTest<Extract<Setting, { kind: 'running' }>>(
    what,
    () => setting,
    async ({ gateway }) => {
      if (answers.size === 0) askAll(gateway);
      const told = await answers.get(model);
      assert.ok(told !== undefined);
      assert.match(told.message, text);
      assert.equal(told.code, code, told.message);
      assert.equal(told.status, 503);
      assert.equal(told.retry, code === 'start_failed' ? null : 'false');
      // Its end is verified first.
      const failed = await until('status shows it', async () => {
        const { models } = (await gateway.status()) as unknown as {
          readonly models: Readonly<
            Record<string, { readonly state: string; readonly failure: string | null }>
          >;
        };
        const shown = models[model];
        return shown?.failure === null || shown?.state === 'stopping' ? null : shown;
      });
      assert.match(failed.failure ?? '', text);
      assert.equal(failed.state, code === 'start_failed' ? 'cold' : 'failed');
      const logged = gateway.log.filter((line) => line.level >= 50 && line.model === model);
      assert.match(logged.map(({ msg }) => msg).join('\n'), text);
    },
  );
}
