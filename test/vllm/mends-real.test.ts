/**
 * Starts that a real vLLM refuses and that the gateway mends by itself: flags of its own that this vLLM does not take,
 * and a KV cache that is too small. vLLM for processors refuses to sleep, in its own words; the other refusals are
 * brought about by a program before it.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { type RunningGateway, startGateway, until } from '../fixtures/gateway.ts';
import {
  findRealParts,
  type RealParts,
  realTest,
  recordingArguments,
  refusingFlag,
  simulatedDevicesConfig,
  withOtherValueOnce,
  writeWrapper,
} from './real-parts.ts';

const KV_FLAG = '--kv-cache-memory-bytes';
const SLEEP_FLAG = '--enable-sleep-mode';
const ANSWER_LIMIT_MS = 240_000;
const MIB = 1024 * 1024;

let parts: RealParts = { kind: 'unavailable', reason: 'it was not looked for' };
let directory = '';
const gateways: RunningGateway[] = [];

before(async () => {
  parts = await findRealParts();
  directory = await mkdtemp(join(tmpdir(), 'vg-mends-'));
});

after(async () => {
  for (const gateway of gateways) await gateway.kill();
  await rm(directory, { recursive: true, force: true });
});

type Found = Extract<RealParts, { readonly kind: 'found' }>;

function mendTest(name: string, run: (found: Found) => Promise<void>): void {
  realTest<Found>(name, () => parts, run);
}

async function open(setup: Parameters<typeof startGateway>[0]): Promise<RunningGateway> {
  const gateway = await startGateway(setup);
  gateways.push(gateway);
  return gateway;
}

async function complete(gateway: RunningGateway, model: string): Promise<string> {
  const answer = await fetch(`${gateway.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, prompt: 'one', max_tokens: 2 }),
    signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
  });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  return text;
}

function texts(gateway: RunningGateway): string {
  return gateway.log.map(({ msg }) => msg).join('\n');
}

async function linesOf(file: string): Promise<readonly string[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

mendTest('flags that this vLLM does not take are left out, at once and for good', async (found) => {
  const { vllm, models } = found;
  const calls = join(directory, 'calls');
  const steps = [recordingArguments(calls), refusingFlag(KV_FLAG)];
  const wrapper = await writeWrapper({ directory, name: 'vllm-old', vllm, steps });
  const config = simulatedDevicesConfig({
    executable: [wrapper],
    models: { dummy: { repo: models.dummy, max_model_len: 1024, extra_args: ['--load-format', 'dummy'] } },
    devices: 1,
    budgetMode: true,
  });
  const gateway = await open({ config });
  await complete(gateway, 'dummy');
  const runs = await linesOf(calls);
  assert.deepEqual(
    runs.map((words) => [words.includes(KV_FLAG), words.includes(SLEEP_FLAG)]),
    [
      [true, true],
      [false, true],
      [false, false],
    ],
  );
  const log = texts(gateway);
  assert.match(log, new RegExp(`this vLLM does not know the arguments ${KV_FLAG}`));
  assert.match(log, new RegExp(`does not take ${KV_FLAG}: left out from now on`));
  assert.match(log, /sleep mode is not supported on this platform/);
  assert.match(log, new RegExp(`does not take ${SLEEP_FLAG}: left out from now on`));
  const { models: states } = await gateway.status();
  assert.equal(states.dummy?.state, 'awake');

  // The next gateway knows; its engine need not become ready for that.
  await gateway.stop({ keep: true });
  const next = await open({ config, directory: gateway.directory });
  const leaving = new AbortController();
  const asked = fetch(`${next.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'dummy', prompt: 'one' }),
    signal: leaving.signal,
  }).catch(() => null);
  const again = await until('it is launched', async () => (await linesOf(calls))[3]);
  leaving.abort();
  await asked;
  assert.ok(!again.includes(KV_FLAG) && !again.includes(SLEEP_FLAG), again);
});

mendTest(
  'a KV cache too small for one sequence is corrected by the number that vLLM names',
  async (found) => {
    const { vllm, models } = found;
    const calls = join(directory, 'cache-calls');
    const steps = [recordingArguments(calls), withOtherValueOnce(KV_FLAG, 64 * MIB, join(directory, 'once'))];
    const wrapper = await writeWrapper({ directory, name: 'vllm-small', vllm, steps });
    const config = simulatedDevicesConfig({
      executable: [wrapper],
      models: {
        smollm2: { repo: models.smollm2, max_model_len: 8192, kv_reservation_seqs: 1, sleep: 'off' },
      },
      devices: 1,
      budgetMode: true,
      cacheFromFlag: true,
    });
    const gateway = await open({ config });
    await complete(gateway, 'smollm2');
    const runs = await linesOf(calls);
    const told = runs.map((words) => Number(/--kv-cache-memory-bytes (\d+)/.exec(words)?.[1]));
    assert.equal(told.length, 2, runs.join('\n'));
    const [first = 0, second = 0] = told;
    assert.ok(second > first, told.join());
    const log = texts(gateway);
    assert.match(log, /a context of 8192 tokens needs [\d.]+ GiB of KV cache, but only [\d.]+ GiB are left/);
    assert.match(log, /its estimate was corrected from \d+ MiB on one device to \d+ MiB on one device/);
  },
);
