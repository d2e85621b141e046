/**
 * What the official SDKs make of an early 200: streams that wait through a cold start, and each failure after it. What
 * they show is a record as much as a test: docs/progress.md tells it to users.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import OpenAI from 'openai';
import { type RunningGateway, simulatedConfig, simulatedModel, startGateway } from '../fixtures/gateway.ts';
import { type Shown, STREAM_CLIENTS } from '../fixtures/stream-clients.ts';

const PROMPT = 'What is the capital of France?';
/** More tokens than `chat` has. */
const LONG_PROMPT = 'word '.repeat(200);
const CONTEXT_TOKENS = 64;
const DEADLY = 'deadly words';

let gateway: RunningGateway;

/** Each case has a model of its own for each client, so that each stream waits for a start. */
const CASES: Readonly<Record<string, Parameters<typeof simulatedModel>[0]>> = {
  sound: {},
  narrow: { keys: { max_model_len: CONTEXT_TOKENS } },
  hurried: { loadSeconds: 5 },
  breaking: { args: ['--sim-tokens-per-second', 20, '--sim-fault', 'reset@midstream:4'] },
  dying: { args: ['--sim-fault', `crash@request:${DEADLY}`] },
  unstartable: { args: ['--sim-fault', 'crash@capturing'] },
};

before(async () => {
  const models: Record<string, unknown> = {};
  for (const [name, setup] of Object.entries(CASES))
    for (const at of STREAM_CLIENTS.keys())
      models[`${name}-${at}`] = simulatedModel({
        memoryMib: 500,
        loadSeconds: 1,
        ...setup,
        keys: { progress: 'comments', progress_after: 0.1, ...setup?.keys },
      });
  models.shown = simulatedModel({ memoryMib: 500, loadSeconds: 1, keys: { progress_after: 0.1 } });
  gateway = await startGateway({ config: simulatedConfig(models) });
});

after(() => gateway.stop());

interface Failure {
  readonly model: string;
  readonly prompt?: string;
  readonly headers?: Record<string, string>;
  readonly code: string | number;
  readonly status: number;
  readonly message: RegExp;
}

const FAILURES: readonly Failure[] = [
  { model: 'narrow', prompt: LONG_PROMPT, code: 400, status: 400, message: /maximum context length is 64/ },
  {
    model: 'hurried',
    headers: { 'X-Queue-Timeout': '1.5' },
    code: 'queue_timeout',
    status: 503,
    message: /could not serve the request within 1.5 s/,
  },
  { model: 'breaking', code: 'engine_died', status: 502, message: /died while it handled the request/ },
  { model: 'dying', prompt: DEADLY, code: 'engine_died_twice', status: 502, message: /died twice/ },
  { model: 'unstartable', code: 'start_failed', status: 503, message: /did not start/ },
];

/** The early 200: a comment of progress came first. */
function assertEarly({ raw, status }: Shown): void {
  assert.equal(status, 200);
  assert.match(raw, /^: \{"phase":"\w+","percent":\d+,"ready_in_s":[\d.]+,/);
}

/** OpenAI's SDK keeps the object `error`, Anthropic's the whole event. */
function errorObject(value: unknown): { readonly code?: unknown; readonly status?: unknown } {
  const whole = value as { readonly error?: object } | undefined;
  return whole?.error ?? whole ?? {};
}

// Mostly waiting for starts: side by side the clients take a third of the time.
describe('streams that wait', { concurrency: STREAM_CLIENTS.length }, () => {
  for (const [at, client] of STREAM_CLIENTS.entries()) {
    describe(client.name, { concurrency: 1 }, () => {
      test(`a stream through a cold start, then one served at once`, async () => {
        const first = await client.stream(gateway.url, `sound-${at}`, PROMPT);
        assertEarly(first);
        assert.match(first.raw, /^: \{"phase":"answering",.*"load":"cold","queue_wait_ms":\d+/m);
        assert.equal(first.error, null);
        const second = await client.stream(gateway.url, `sound-${at}`, PROMPT);
        assert.equal(second.error, null);
        assert.ok(!second.raw.startsWith(':'));
        assert.equal(second.text, first.text);
        assert.ok(first.text.length > 0);
      });

      for (const { model, prompt = PROMPT, headers, code, status, message } of FAILURES) {
        test(`${code} after an early 200`, async () => {
          const seen = await client.stream(gateway.url, `${model}-${at}`, prompt, headers);
          assertEarly(seen);
          assert.equal(seen.error?.name, 'APIError');
          assert.match(seen.error.message, message);
          const error = errorObject(seen.error.value);
          assert.equal(error.code, code);
          assert.equal(error.status, status);
          assert.equal(seen.error.message.startsWith('{'), client.name.startsWith('anthropic'));
          assert.ok(!seen.raw.includes('[DONE]') && !seen.raw.includes('message_stop'));
        });
      }
    });
  }
});

test('reasoning: the openai SDK shows it as deltas, and its helper puts the answer together', async () => {
  // With its retries: the connection of a stream that failed before is ended, and may be tried once more.
  const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'none' });
  const stream = client.chat.completions.stream(
    { model: 'shown', messages: [{ role: 'user', content: PROMPT }], max_tokens: 9 },
    { headers: { 'X-Progress': 'reasoning' } },
  );
  let reasoning = '';
  for await (const chunk of stream) {
    const delta = chunk.choices[0]?.delta as { readonly reasoning_content?: string } | undefined;
    reasoning += delta?.reasoning_content ?? '';
  }
  assert.match(reasoning, /^shown: \w+, \d+ %, ready in about \d+ s \(.*\)\n/);
  const whole = await stream.finalChatCompletion();
  assert.equal(whole.choices[0]?.message.role, 'assistant');
  assert.ok((whole.choices[0]?.message.content ?? '').length > 0);
  assert.ok(!whole.choices[0]?.message.content?.includes('shown:'));
});
