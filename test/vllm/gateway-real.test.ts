/**
 * The gateway with real vLLM engines on this machine's memory, of which two out of three fit: what clients see, in one
 * story, since every engine takes half a minute to start.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { groupMembers } from '../contract/engine-server.ts';
import { exchange } from '../contract/http-exchange.ts';
import { processesNaming, type RunningGateway, until } from '../fixtures/gateway.ts';
import { compareAnswers, compareStoredResponses } from './direct-answers.ts';
import { findEngine, findEngineCore, type RealGateway, residents, startRealGateway } from './real-gateway.ts';

const question = 'What is the capital of France?';
const messages = [{ role: 'user' as const, content: question }];
const clientOptions = { apiKey: 'none needed', maxRetries: 0 };

let real: RealGateway = { kind: 'unavailable', reason: 'the gateway was not started' };

before(async () => {
  real = await startRealGateway();
});

after(async () => {
  if (real.kind === 'running') await real.gateway.kill();
});

/** A test that is skipped with the reason where no real vLLM can be had. */
function realTest(name: string, run: (gateway: RunningGateway) => Promise<void>): void {
  test(name, async (t) => {
    if (real.kind === 'unavailable') return t.skip(`no real vLLM: ${real.reason}`);
    await run(real.gateway);
  });
}

async function post(url: string, path: string, body: unknown): Promise<{ status: number; text: string }> {
  const answer = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: answer.status, text: await answer.text() };
}

/** The shortest request that each model serves. */
function tinyRequest(model: string): { path: string; body: Record<string, unknown> } {
  return model === 'minilm'
    ? { path: '/v1/embeddings', body: { model, input: 'one' } }
    : { path: '/v1/completions', body: { model, prompt: 'one', max_tokens: 2 } };
}

realTest('the openai client gets the capital of France from a model that was cold', async ({ url }) => {
  const client = new OpenAI({ ...clientOptions, baseURL: `${url}/v1` });
  const answer = await client.chat.completions.create({
    model: 'smollm2',
    messages,
    temperature: 0,
    max_tokens: 30,
  });
  assert.match(answer.choices[0]?.message.content ?? '', /Paris/);
  assert.equal(answer.model, 'smollm2');
  assert.equal(answer.choices[0]?.finish_reason, 'stop');
});

realTest('the openai client reads a stream with its usage', async ({ url }) => {
  const client = new OpenAI({ ...clientOptions, baseURL: `${url}/v1` });
  const stream = await client.chat.completions.create({
    model: 'smollm2',
    messages,
    temperature: 0,
    max_tokens: 30,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = '';
  let tokens = 0;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? '';
    tokens = chunk.usage?.completion_tokens ?? tokens;
  }
  assert.match(text, /Paris/);
  assert.ok(tokens > 3, `${tokens} tokens`);
});

realTest('the anthropic client gets a message, whole and streamed', async ({ url }) => {
  const client = new Anthropic({ ...clientOptions, baseURL: url });
  const asked = { model: 'smollm2', messages, temperature: 0, max_tokens: 30 };
  const whole = await client.messages.create(asked);
  const [block] = whole.content;
  assert.match(block?.type === 'text' ? block.text : '', /Paris/);
  const streamed = await client.messages.stream(asked).finalText();
  assert.match(streamed, /Paris/);
});

realTest('embeddings come from the second model while the first stays', async (gateway) => {
  const client = new OpenAI({ ...clientOptions, baseURL: `${gateway.url}/v1` });
  const input = ['a cat sits on the mat', 'a kitten rests on the rug', 'quarterly tax returns'];
  const answer = await client.embeddings.create({ model: 'minilm', input });
  const [cat = [], kitten = [], tax = []] = answer.data.map((one) => one.embedding);
  assert.equal(cat.length, 384);
  const dot = (a: readonly number[], b: readonly number[]): number =>
    a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);
  assert.ok(dot(cat, kitten) > dot(cat, tax), 'the two cats are nearer to each other than to taxes');
  assert.deepEqual(await residents(gateway), ['minilm', 'smollm2']);
});

realTest('every route answers through the gateway as the engine itself does', async (gateway) => {
  await compareAnswers(gateway, 'smollm2', 'chat');
  await compareAnswers(gateway, 'minilm', 'embed');
});

realTest('stored and background responses are those of the engine', async (gateway) => {
  await compareStoredResponses(gateway, 'smollm2');
});

realTest('an adapter answers under its own name, and otherwise than its model', async ({ url }) => {
  const client = new OpenAI({ ...clientOptions, baseURL: `${url}/v1` });
  const asked = { messages, temperature: 0, max_tokens: 10 };
  const own = await client.chat.completions.create({ ...asked, model: 'noise' });
  const base = await client.chat.completions.create({ ...asked, model: 'smollm2' });
  assert.equal(own.model, 'noise');
  assert.notEqual(own.choices[0]?.message.content, base.choices[0]?.message.content);
});

realTest('a third model makes room for itself, and the displaced one comes back', async (gateway) => {
  const there = tinyRequest('dummy');
  assert.equal((await post(gateway.url, there.path, there.body)).status, 200);
  const after = await residents(gateway);
  assert.equal(after.length, 2);
  assert.ok(after.includes('dummy'), after.join());
  const displaced = ['minilm', 'smollm2'].find((model) => !after.includes(model)) ?? '';
  const back = tinyRequest(displaced);
  assert.equal((await post(gateway.url, back.path, back.body)).status, 200);
  assert.ok((await residents(gateway)).includes(displaced));
});

realTest('three clients on three models at once are all served', async (gateway) => {
  const statuses = await Promise.all(
    ['smollm2', 'minilm', 'dummy'].map(async (model) => {
      const own: number[] = [];
      const { path, body } = tinyRequest(model);
      for (let count = 0; count < 3; count++) own.push((await post(gateway.url, path, body)).status);
      return own;
    }),
  );
  assert.deepEqual(statuses.flat(), Array(9).fill(200));
});

realTest('a model that nobody configured is a 404 of the gateway', async ({ url }) => {
  const answer = await post(url, '/v1/chat/completions', { model: 'nobody', messages });
  assert.equal(answer.status, 404);
  assert.equal(JSON.parse(answer.text).error.code, 'model_not_found');
});

realTest('a prompt that is too long gets the engine’s own 400, byte by byte', async (gateway) => {
  const body = { model: 'smollm2', messages: [{ role: 'user', content: 'word '.repeat(3000) }] };
  const answer = await post(gateway.url, '/v1/chat/completions', body);
  const engine = await findEngine(gateway, 'smollm2');
  assert.ok(engine !== null);
  const direct = await exchange(
    { socketPath: engine.socketPath },
    { path: '/v1/chat/completions', json: body },
  );
  assert.equal(answer.status, 400);
  assert.match(answer.text, /maximum context length is 1024 tokens/);
  assert.deepEqual(answer, { status: direct.status, text: direct.body });
});

/** A stream that runs for long; resolves once its first frame is there. */
async function openStream(url: string): Promise<{ readonly end: Promise<string> }> {
  const answer = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'smollm2', messages, max_tokens: 900, ignore_eos: true, stream: true }),
  });
  assert.equal(answer.status, 200);
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  assert.ok(reader !== undefined);
  let text = (await reader.read()).value ?? '';
  const readToEnd = async (): Promise<string> => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return text;
      text += value;
    }
  };
  return { end: readToEnd() };
}

/** Process groups of engines that are to be gone at the end: their inner processes do not name the gateway's folder. */
const groups: number[] = [];

async function killUnderLoad(
  gateway: RunningGateway,
  victim: (engine: { readonly pid: number }) => number | null,
): Promise<void> {
  const streams = await Promise.all([1, 2, 3].map(() => openStream(gateway.url)));
  const engine = await findEngine(gateway, 'smollm2');
  assert.ok(engine !== null);
  const pid = victim(engine);
  assert.ok(pid !== null);
  process.kill(pid, 'SIGKILL');
  groups.push(engine.pid);
  const ends = await Promise.allSettled(streams.map((stream) => stream.end));
  for (const end of ends) {
    // A broken transfer is as honest as an error in the client's dialect; a clean end would be a lie.
    if (end.status === 'fulfilled') assert.match(end.value, /"error"/);
  }
  const { path, body } = tinyRequest('smollm2');
  await until(
    'the next engine serves',
    async () => {
      const answer = await post(gateway.url, path, body).catch(ofClosingConnection);
      if (answer === null) return false;
      if (answer.status === 200) return true;
      // A server whose core died answers for a moment longer, with an error of its own that is passed on.
      assert.match(answer.text, /EngineCore encountered an issue/);
      return false;
    },
    120_000,
  );
  const next = await findEngine(gateway, 'smollm2');
  assert.ok(next !== null && next.pid !== engine.pid);
}

/** The connection of a stream that broke may close as the client takes it for its next request: then it asks again. */
function ofClosingConnection(error: unknown): null {
  const cause = error instanceof Error ? error.cause : null;
  if (cause instanceof Error && 'code' in cause && cause.code === 'UND_ERR_SOCKET') return null;
  throw error;
}

realTest('an engine killed under load: honest errors, the next request served', async (gateway) => {
  await killUnderLoad(gateway, (engine) => engine.pid);
});

realTest(
  'an engine core killed under load: the same, although its server ends in good order',
  async (gateway) => {
    await killUnderLoad(gateway, findEngineCore);
  },
);

realTest('when the gateway ends, no process of any engine is left', async (gateway) => {
  for (const model of await residents(gateway)) {
    const engine = await findEngine(gateway, model);
    assert.ok(engine !== null, `${model} is resident and has no process`);
    groups.push(engine.pid);
  }
  assert.equal(await gateway.stop({ keep: true }), 0);
  assert.deepEqual(await processesNaming(gateway.directory), []);
  // Python's own trackers end a moment after their server.
  await until('no process left', () => groups.every((group) => groupMembers(group).length === 0));
  assert.deepEqual(gateway.errors, []);
});
