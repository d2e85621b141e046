/** The public package `@anthropic-ai/sdk` as a client: messages, streams, errors in its shape, and leaving. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import Anthropic, {
  APIError,
  APIUserAbortError,
  BadRequestError,
  NotFoundError,
  RateLimitError,
} from '@anthropic-ai/sdk';
import { type RunningGateway, simulatedConfig, simulatedModel, startGateway } from '../fixtures/gateway.ts';
import { beginChat, leaveAll, untilCounts, untilEnginesIdle } from '../fixtures/requests.ts';

const CONTEXT_TOKENS = 64;

let gateway: RunningGateway;
let client: Anthropic;

before(async () => {
  const model = (args: readonly (string | number)[], keys: Record<string, unknown> = {}) =>
    simulatedModel({ memoryMib: 3_000, args, keys });
  const slow = ['--sim-tokens-per-second', 10];
  gateway = await startGateway({
    config: simulatedConfig({
      chat: model([], { max_model_len: CONTEXT_TOKENS }),
      narrow: model(slow, { max_concurrent: 1, queue_size: 1 }),
      breaking: model([...slow, '--sim-fault', 'reset@midstream:5']),
    }),
  });
  client = new Anthropic({ baseURL: gateway.url, apiKey: 'none needed', maxRetries: 0 });
});

after(() => gateway.stop());

function message(model: string, content = 'What is the capital of France?', maxTokens = 8) {
  return { model, max_tokens: maxTokens, messages: [{ role: 'user' as const, content }] };
}

/** What a promise fails with. */
async function failureOf(promise: PromiseLike<unknown>): Promise<unknown> {
  return promise.then(
    () => assert.fail('it succeeded'),
    (error: unknown) => error,
  );
}

interface ErrorBody {
  readonly type: string;
  readonly error: { readonly type: string; readonly code?: string; readonly message: string };
}

test('messages: an answer with its usage, the same as a stream of events', async () => {
  const whole = await client.messages.create(message('chat'));
  assert.equal(whole.type, 'message');
  assert.equal(whole.role, 'assistant');
  assert.equal(whole.model, 'chat');
  assert.equal(whole.stop_reason, 'max_tokens');
  assert.equal(whole.usage.output_tokens, 8);
  const [block] = whole.content;
  assert.ok(block?.type === 'text');
  const stream = client.messages.stream(message('chat'));
  let text = '';
  stream.on('text', (piece) => {
    text += piece;
  });
  const final = await stream.finalMessage();
  assert.equal(text, block.text);
  assert.equal(final.stop_reason, 'max_tokens');
  assert.equal(final.usage.output_tokens, 8);
  const types: string[] = [];
  for await (const event of await client.messages.create({ ...message('chat'), stream: true })) {
    types.push(event.type);
  }
  assert.equal(types[0], 'message_start');
  assert.equal(types.at(-1), 'message_stop');
});

test('tokens of a message are counted without an answer', async () => {
  const { messages } = message('chat');
  const counted = await client.messages.countTokens({ model: 'chat', messages });
  const answered = await client.messages.create(message('chat'));
  assert.equal(counted.input_tokens, answered.usage.input_tokens);
});

test('models: the list and one of it', async () => {
  const ids: string[] = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.deepEqual(ids, ['chat', 'narrow', 'breaking']);
  assert.equal((await client.models.retrieve('narrow')).id, 'narrow');
});

test('an unknown model is a NotFoundError in its own shape, with our code', async () => {
  const error = await failureOf(client.messages.create(message('absent')));
  assert.ok(error instanceof NotFoundError);
  const body = error.error as ErrorBody;
  assert.equal(body.type, 'error');
  assert.equal(body.error.type, 'not_found_error');
  assert.equal(body.error.code, 'model_not_found');
});

test("a prompt that is too long gets the engine's own 400", async () => {
  const error = await failureOf(client.messages.create(message('chat', 'word '.repeat(2 * CONTEXT_TOKENS))));
  assert.ok(error instanceof BadRequestError);
  assert.match(error.message, /maximum context length is 64 tokens/);
  assert.ok(!JSON.stringify(error.error).includes('origin'));
});

test('a full queue is a RateLimitError; a waiting request can be aborted', async () => {
  const running = beginChat(gateway.url, 'narrow', { tokens: 'endless', stream: true });
  await untilCounts(gateway, 'narrow', { running: 1, waiting: 0 });
  const controller = new AbortController();
  const waiting = failureOf(client.messages.create(message('narrow'), { signal: controller.signal }));
  await untilCounts(gateway, 'narrow', { running: 1, waiting: 1 });
  const error = await failureOf(client.messages.create(message('narrow')));
  assert.ok(error instanceof RateLimitError);
  const body = error.error as ErrorBody & { readonly queue_depth: number };
  assert.equal(body.error.type, 'rate_limit_error');
  assert.equal(body.error.code, 'queue_full');
  assert.equal(body.queue_depth, 1);
  controller.abort();
  assert.ok((await waiting) instanceof APIUserAbortError);
  await untilCounts(gateway, 'narrow', { running: 1, waiting: 0 });
  await leaveAll([running]);
  await untilCounts(gateway, 'narrow', { running: 0, waiting: 0 });
});

test('aborting a stream frees its slot and stops the engine', async () => {
  const stream = client.messages.stream(message('narrow', 'Go on', 10_000));
  stream.once('text', () => stream.abort());
  assert.ok((await failureOf(stream.finalMessage())) instanceof APIUserAbortError);
  await untilCounts(gateway, 'narrow', { running: 0, waiting: 0 });
  await untilEnginesIdle(gateway);
});

test('a stream whose engine breaks off fails with our error and never ends in order', async () => {
  const stream = client.messages.stream(message('breaking', 'Go on', 50));
  let pieces = 0;
  stream.on('text', () => {
    pieces += 1;
  });
  const error = await failureOf(stream.finalMessage());
  assert.ok(pieces > 0);
  assert.ok(error instanceof APIError, String(error));
  assert.match(error.message, /engine_died/);
  await untilCounts(gateway, 'breaking', { running: 0, waiting: 0 });
});
