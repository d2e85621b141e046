/** The public package `openai` as a client: every kind of answer, errors as its classes, and leaving in every state. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI, { APIError, APIUserAbortError, BadRequestError, NotFoundError, RateLimitError } from 'openai';
import {
  type RunningGateway,
  simulatedConfig,
  simulatedModel,
  startGateway,
  until,
} from '../fixtures/gateway.ts';
import {
  beginChat,
  engineMetric,
  leaveAll,
  postToEngine,
  untilCounts,
  untilEnginesIdle,
} from '../fixtures/requests.ts';

const CONTEXT_TOKENS = 64;

let gateway: RunningGateway;
let client: OpenAI;

before(async () => {
  const model = (args: readonly (string | number)[], keys: Record<string, unknown> = {}) =>
    simulatedModel({ memoryMib: 3_000, args, keys });
  const slow = ['--sim-tokens-per-second', 10];
  gateway = await startGateway({
    config: simulatedConfig({
      chat: model([], { max_model_len: CONTEXT_TOKENS }),
      embed: model(['--sim-task', 'embed', '--sim-embedding-size', 8]),
      narrow: model(slow, { max_concurrent: 1, queue_size: 1 }),
      breaking: model([...slow, '--sim-fault', 'reset@midstream:4']),
    }),
  });
  client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'none needed', maxRetries: 0 });
});

after(() => gateway.stop());

function ask(content = 'What is the capital of France?'): { role: 'user'; content: string }[] {
  return [{ role: 'user', content }];
}

/** What a promise fails with. */
async function failureOf(promise: PromiseLike<unknown>): Promise<unknown> {
  return promise.then(
    () => assert.fail('it succeeded'),
    (error: unknown) => error,
  );
}

test('chat: an answer with its usage, the same as a stream of deltas', async () => {
  const whole = await client.chat.completions.create({ model: 'chat', messages: ask(), max_tokens: 9 });
  assert.equal(whole.object, 'chat.completion');
  assert.equal(whole.model, 'chat');
  assert.equal(whole.choices[0]?.finish_reason, 'length');
  assert.equal(whole.usage?.completion_tokens, 9);
  const stream = await client.chat.completions.create({
    model: 'chat',
    messages: ask(),
    max_tokens: 9,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = '';
  let pieces = 0;
  let completionTokens = 0;
  for await (const chunk of stream) {
    const piece = chunk.choices[0]?.delta.content ?? '';
    text += piece;
    if (piece !== '') pieces += 1;
    completionTokens = chunk.usage?.completion_tokens ?? completionTokens;
  }
  assert.equal(text, whole.choices[0]?.message.content);
  assert.equal(pieces, 9);
  assert.equal(completionTokens, 9);
});

test('completions: whole and streamed', async () => {
  const whole = await client.completions.create({ model: 'chat', prompt: 'Once', max_tokens: 5 });
  const stream = await client.completions.create({
    model: 'chat',
    prompt: 'Once',
    max_tokens: 5,
    stream: true,
  });
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.text ?? '';
  assert.ok(text.length > 0);
  assert.equal(text, whole.choices[0]?.text);
});

test('embeddings: of several texts, in base64 as the package asks for by default and as numbers', async () => {
  const input = ['one text', 'another'];
  const packed = await client.embeddings.create({ model: 'embed', input });
  const plain = await client.embeddings.create({ model: 'embed', input, encoding_format: 'float' });
  assert.deepEqual(
    packed.data.map(({ embedding }) => embedding.length),
    [8, 8],
  );
  for (const [index, { embedding }] of packed.data.entries()) {
    const other = plain.data[index]?.embedding ?? [];
    for (const [at, value] of embedding.entries()) assert.ok(Math.abs(value - (other[at] ?? 9)) < 1e-6);
  }
});

test('responses: whole and as typed events', async () => {
  const whole = await client.responses.create({ model: 'chat', input: 'Say it', max_output_tokens: 6 });
  assert.equal(whole.object, 'response');
  assert.ok(whole.output_text.length > 0);
  const stream = await client.responses.create({
    model: 'chat',
    input: 'Say it',
    max_output_tokens: 6,
    stream: true,
  });
  let text = '';
  const types: string[] = [];
  for await (const event of stream) {
    types.push(event.type);
    if (event.type === 'response.output_text.delta') text += event.delta;
  }
  assert.equal(text, whole.output_text);
  assert.equal(types[0], 'response.created');
  assert.match(types.at(-1) ?? '', /^response\.(completed|incomplete)$/);
});

test('models: the list and one of it', async () => {
  const ids: string[] = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.deepEqual(ids, ['chat', 'embed', 'narrow', 'breaking']);
  const model = await client.models.retrieve('chat');
  assert.equal(model.id, 'chat');
  assert.equal(model.object, 'model');
  assert.ok((await failureOf(client.models.retrieve('absent'))) instanceof NotFoundError);
});

test('an unknown model is a NotFoundError with our code', async () => {
  const error = await failureOf(client.chat.completions.create({ model: 'chatt', messages: ask() }));
  assert.ok(error instanceof NotFoundError);
  assert.equal(error.status, 404);
  assert.equal(error.code, 'model_not_found');
  assert.equal(error.param, 'model');
  assert.match(error.message, /`chatt` does not exist.*chat/);
  assert.ok(error.requestID !== null && error.requestID !== undefined && error.requestID !== '');
});

test("a prompt that is too long gets the engine's own 400, byte for byte", async () => {
  const body = { model: 'chat', messages: ask('word '.repeat(2 * CONTEXT_TOKENS)) };
  const error = await failureOf(client.chat.completions.create(body));
  assert.ok(error instanceof BadRequestError);
  assert.match(error.message, /maximum context length is 64 tokens/);
  const path = '/v1/chat/completions';
  const direct = await postToEngine(gateway, 'chat', path, body);
  const through = await fetch(gateway.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  assert.deepEqual({ status: through.status, text: await through.text() }, direct);
  assert.ok(!direct.text.includes('origin'));
});

test('a full queue is a RateLimitError with our code; a waiting request can be aborted', async () => {
  const running = beginChat(gateway.url, 'narrow', { tokens: 'endless', stream: true });
  await untilCounts(gateway, 'narrow', { running: 1, waiting: 0 });
  const controller = new AbortController();
  const { signal } = controller;
  const waiting = failureOf(client.chat.completions.create({ model: 'narrow', messages: ask() }, { signal }));
  await untilCounts(gateway, 'narrow', { running: 1, waiting: 1 });
  const error = await failureOf(client.chat.completions.create({ model: 'narrow', messages: ask() }));
  assert.ok(error instanceof RateLimitError);
  assert.equal(error.code, 'queue_full');
  assert.equal(error.headers.get('x-queue-depth'), '1');
  assert.equal(error.headers.get('x-queue-max-size'), '1');
  controller.abort();
  assert.ok((await waiting) instanceof APIUserAbortError);
  await untilCounts(gateway, 'narrow', { running: 1, waiting: 0 });
  await leaveAll([running]);
  await untilCounts(gateway, 'narrow', { running: 0, waiting: 0 });
});

test('aborting a stream, or a request without one, frees its slot and stops the engine', async () => {
  const aborted = () => engineMetric(gateway, 'vllm:request_success_total', 'finished_reason="abort"');
  await client.chat.completions.create({ model: 'narrow', messages: ask(), max_tokens: 1 });
  const before = await aborted();
  const body = { model: 'narrow', messages: ask(), max_tokens: 10_000 };
  const stream = await client.chat.completions.create({ ...body, stream: true, n: 1 });
  for await (const chunk of stream) {
    // Leaving the loop aborts, as the package documents.
    if (chunk.choices[0]?.delta.content) break;
  }
  await untilCounts(gateway, 'narrow', { running: 0, waiting: 0 });
  const controller = new AbortController();
  const whole = failureOf(client.chat.completions.create(body, { signal: controller.signal }));
  await untilCounts(gateway, 'narrow', { running: 1, waiting: 0 });
  controller.abort();
  assert.ok((await whole) instanceof APIUserAbortError);
  await untilCounts(gateway, 'narrow', { running: 0, waiting: 0 });
  await untilEnginesIdle(gateway);
  await until('the engine counts both as aborted', async () => (await aborted()) === before + 2);
});

test('a stream whose engine breaks off fails with our error and never ends in order', async () => {
  const stream = await client.chat.completions.create({ model: 'breaking', messages: ask(), stream: true });
  let pieces = 0;
  const error = await failureOf(
    (async () => {
      for await (const _chunk of stream) pieces += 1;
    })(),
  );
  assert.ok(pieces > 0);
  assert.ok(error instanceof APIError, String(error));
  assert.equal(error.code, 'engine_died');
  await untilCounts(gateway, 'breaking', { running: 0, waiting: 0 });
});
