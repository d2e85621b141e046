import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPrng } from '../../src/core/prng.ts';
import type { HttpAsk } from './ask.ts';
import { randomAsk } from './asks.ts';
import { judge } from './judge.ts';

/** An ask of this kind, as the crowd makes them. */
function askOf(kind: string): HttpAsk {
  const random = createPrng(1);
  for (let number = 1; number < 2_000; number += 1) {
    const ask = randomAsk(number, random);
    if (ask.kind === kind && ask.transport === 'http') return ask;
  }
  throw new Error(`nobody asks ${kind}`);
}

function chunk(content: string): string {
  return `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`;
}

const DONE = 'data: [DONE]\n\n';

test('a stream is whole, its own, or found out', () => {
  const ask = askOf('chat stream');
  const own = `${chunk(ask.echo ?? '').replace('#', '')}`;
  assert.equal(judge(ask, 200, `: {"phase":"loading"}\n\n${chunk('#')}${own}${DONE}`).kind, 'answered');
  assert.equal(judge(ask, 200, `${chunk('#')}${own}`).kind, 'wrong');
  assert.equal(judge(ask, 200, `${chunk('#0#')}${DONE}`).kind, 'wrong');
  assert.equal(judge(ask, 502, '').kind, 'wrong');
});

test('an error within a stream says whose it is', () => {
  const told = 'data: {"error":{"message":"m","code":"engine_died","status":502},"origin":"gateway"}\n\n';
  const ending = judge(askOf('chat stream'), 200, `${chunk('#')}${told}`);
  assert.deepEqual(ending, { kind: 'error', status: 200, code: 'engine_died', origin: 'gateway' });
});

test('errors in the dialects: OpenAI’s, Anthropic’s, an engine’s own', () => {
  const openai = '{"error":{"message":"m","code":"queue_full"},"origin":"gateway"}';
  assert.deepEqual(judge(askOf('chat'), 429, openai), {
    kind: 'error',
    status: 429,
    code: 'queue_full',
    origin: 'gateway',
  });
  const anthropic =
    '{"type":"error","error":{"type":"api_error","message":"m","code":"queue_timeout"},"origin":"gateway"}';
  assert.equal(judge(askOf('message'), 503, anthropic).kind, 'error');
  assert.equal(judge(askOf('chat'), 404, '{"detail":"Not Found"}').kind, 'error');
  assert.equal(judge(askOf('chat'), 500, 'Internal Server Error').kind, 'wrong');
});

test('whole answers of each route give their number back', () => {
  for (const [kind, shape] of [
    ['chat', (text: string) => ({ choices: [{ message: { content: text } }] })],
    ['completion', (text: string) => ({ choices: [{ text }] })],
    ['message', (text: string) => ({ content: [{ type: 'text', text }] })],
    ['response', (text: string) => ({ output: [{ content: [{ type: 'output_text', text }] }] })],
  ] as const) {
    const ask = askOf(kind);
    assert.equal(judge(ask, 200, JSON.stringify(shape(`${ask.echo} and more`))).kind, 'answered', kind);
    assert.equal(judge(ask, 200, JSON.stringify(shape('#0# and more'))).kind, 'wrong', kind);
  }
});
