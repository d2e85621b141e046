/**
 * A gateway that is killed in front of real engines: two that serve and one that is starting. The next gateway goes on with
 * all three as they are, and the client whose stream went through the dead one sees it break.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { processStartTime } from '../../src/engines/simulated/ledger.ts';
import { type RunningGateway, startGateway, until } from '../fixtures/gateway.ts';
import { findEngine } from './real-gateway.ts';
import {
  findRealParts,
  type RealParts,
  realTest,
  simulatedDevicesConfig,
  withoutSwitch,
  writeWrapper,
} from './real-parts.ts';

const ANSWER_LIMIT_MS = 240_000;
/** Some seconds of a small model's work. */
const STREAM_TOKENS = 900;
/** A start is killed within its imports, long before it listens. */
const START_AGE_MS = 4_000;

let parts: RealParts = { kind: 'unavailable', reason: 'it was not looked for' };
let directory = '';
let gateway: RunningGateway | null = null;

before(async () => {
  parts = await findRealParts();
  directory = await mkdtemp(join(tmpdir(), 'vg-adopt-'));
});

after(async () => {
  await gateway?.kill();
  await rm(directory, { recursive: true, force: true });
});

function post(url: string, model: string, tokens: number, stream: boolean): Promise<Response> {
  return fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, prompt: 'one', max_tokens: tokens, ignore_eos: true, stream }),
    signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
  });
}

async function answers(url: string, model: string): Promise<void> {
  const answer = await post(url, model, 4, false);
  assert.equal(answer.status, 200, await answer.text());
}

/** Which process the engine of a model is: no later one is the same. */
async function identityOf(of: RunningGateway, model: string): Promise<string> {
  const engine = await until(`an engine of ${model} runs`, () => findEngine(of, model));
  return `${engine.pid}:${processStartTime(engine.pid)}`;
}

type Found = Extract<RealParts, { readonly kind: 'found' }>;

const MODELS = ['one', 'two', 'three'];

realTest<Found>(
  'two engines that serve and one that starts go on under the next gateway',
  () => parts,
  async (found) => {
    const { vllm, models } = found;
    // vLLM for processors does not sleep; a start that fails for that would not be the one that is taken over.
    const steps = [withoutSwitch('--enable-sleep-mode')];
    const wrapper = await writeWrapper({ directory, name: 'vllm', vllm, steps });
    const dummy = { repo: models.dummy, max_model_len: 1024, extra_args: ['--load-format', 'dummy'] };
    const config = simulatedDevicesConfig({
      executable: [wrapper],
      models: Object.fromEntries(MODELS.map((name) => [name, dummy])),
      devices: MODELS.length,
      memoryMib: 4096,
    });
    const first = await startGateway({ config });
    gateway = first;
    await Promise.all(['one', 'two'].map((model) => answers(first.url, model)));
    const unanswered = post(first.url, 'three', 4, false).then(
      () => 'answered',
      () => 'broken',
    );
    const identities = await Promise.all(MODELS.map((model) => identityOf(first, model)));
    await new Promise((resolve) => setTimeout(resolve, START_AGE_MS));
    assert.equal((await first.status()).models['three']?.state, 'starting');

    const stream = await post(first.url, 'one', STREAM_TOKENS, true);
    const reader = (stream.body ?? assert.fail('no body')).getReader();
    let text = '';
    const decoder = new TextDecoder();
    while (text.split('\n\n').length < 4) text += decoder.decode((await reader.read()).value);
    await first.kill({ keep: true });
    const readToEnd = async (): Promise<void> => {
      for (let part = await reader.read(); !part.done; part = await reader.read())
        text += decoder.decode(part.value);
    };
    await assert.rejects(readToEnd(), 'the stream that went through the dead gateway ended cleanly');
    assert.ok(!text.includes('[DONE]'));
    assert.equal(await unanswered, 'broken');

    const startedMs = performance.now();
    const second = await startGateway({ config, directory: first.directory });
    gateway = second;
    const listeningMs = performance.now() - startedMs;
    await until('it is ready', async () => (await fetch(`${second.url}/ready`)).status === 200);
    const readyMs = performance.now() - startedMs;
    assert.equal((await second.status()).models['three']?.state, 'starting', 'it goes on where it was');
    await Promise.all(['one', 'two'].map((model) => answers(second.url, model)));
    const servedMs = performance.now() - startedMs;
    await answers(second.url, 'three');
    assert.deepEqual(await Promise.all(MODELS.map((model) => identityOf(second, model))), identities);
    const starts = second.log.filter(({ msg }) => msg.startsWith('start '));
    assert.deepEqual(
      starts.map(({ msg }) => msg),
      [],
      'nothing was started again',
    );
    console.log(
      `with three adopted engines: listening after ${listeningMs.toFixed(0)} ms, ready after ${readyMs.toFixed(0)} ms, both that served have answered after ${servedMs.toFixed(0)} ms`,
    );
  },
);
