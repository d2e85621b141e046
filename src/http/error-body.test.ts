import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { APIError as AnthropicError } from '@anthropic-ai/sdk';
import { Stream as AnthropicStream } from '@anthropic-ai/sdk/streaming';
import { APIError as OpenAiError } from 'openai';
import { Stream as OpenAiStream } from 'openai/streaming';
import type { Refusal } from '../core/errors.ts';
import {
  type Dialect,
  type ErrorAnswer,
  engineErrorFrame,
  errorBody,
  retryAfterHeader,
  streamErrorFrame,
} from './error-body.ts';

const QUEUE_FULL: Refusal = {
  code: 'queue_full',
  parameters: { model: 'm', depth: 200, limit: 200 },
  retryAfterS: 312.4,
  beside: { queue_depth: 200, max_queue_size: 200 },
  headers: { 'x-queue-depth': '200' },
};
const DIED: Refusal = { code: 'engine_died', parameters: { model: 'm', cause: 'signal 9' } };

function headerOf(answer: ErrorAnswer, name: string): string | undefined {
  const at = answer.headers.findIndex((part, index) => index % 2 === 0 && part === name);
  return at < 0 ? undefined : answer.headers[at + 1];
}

function answerFor(refusal: Refusal, dialect: Dialect = 'openai') {
  const answer = errorBody(refusal, { dialect, requestId: 'r1' });
  assert.equal(headerOf(answer, 'content-length'), String(answer.body.length));
  assert.equal(headerOf(answer, 'content-type'), 'application/json');
  assert.equal(headerOf(answer, 'x-request-id'), 'r1');
  return { answer, body: JSON.parse(answer.body.toString()) as Record<string, unknown> };
}

describe('errorBody', () => {
  it("writes OpenAI's error object, says its origin and keeps the keys beside it", () => {
    for (const dialect of ['openai', 'responses'] as const) {
      const { answer, body } = answerFor(QUEUE_FULL, dialect);
      assert.equal(answer.status, 429);
      assert.deepEqual(body, {
        error: {
          message: 'The queue of `m` is full: 200 of 200 requests wait.',
          type: 'rate_limit_error',
          param: null,
          code: 'queue_full',
        },
        queue_depth: 200,
        max_queue_size: 200,
        retry_after_seconds: 312.4,
        origin: 'gateway',
        request_id: 'r1',
      });
      assert.equal(headerOf(answer, 'x-queue-depth'), '200');
    }
  });

  it("writes Anthropic's error object on its routes", () => {
    const { answer, body } = answerFor(QUEUE_FULL, 'anthropic');
    assert.equal(answer.status, 429);
    assert.equal(body.type, 'error');
    assert.equal(body.request_id, 'r1');
    assert.deepEqual(body.error, {
      type: 'rate_limit_error',
      message: 'The queue of `m` is full: 200 of 200 requests wait.',
      code: 'queue_full',
    });
    const large = answerFor({ code: 'body_too_large', parameters: { limitBytes: 1 } }, 'anthropic');
    assert.equal((large.body.error as { type: string }).type, 'request_too_large');
  });

  it('clamps Retry-After and tells the true estimate in the body', () => {
    assert.equal(headerOf(answerFor(QUEUE_FULL).answer, 'retry-after'), '60');
    assert.equal(headerOf(answerFor(DIED).answer, 'retry-after'), undefined);
    for (const [estimate, header] of [
      [0, 1],
      [-5, 1],
      [0.2, 1],
      [1.2, 2],
      [59.5, 60],
      [60.1, 60],
      [Number.POSITIVE_INFINITY, 60],
      [Number.NaN, 60],
    ]) {
      assert.equal(retryAfterHeader(estimate as number), header);
    }
  });

  it('tells SDKs not to retry what a retry cannot mend', () => {
    assert.equal(headerOf(answerFor(QUEUE_FULL).answer, 'x-should-retry'), undefined);
    const never: Refusal = { code: 'model_never_fits', parameters: { model: 'm', why: 'x' } };
    assert.equal(headerOf(answerFor(never).answer, 'x-should-retry'), 'false');
    assert.equal(headerOf(answerFor({ ...never, retryable: true }).answer, 'x-should-retry'), undefined);
    assert.equal(headerOf(answerFor({ ...DIED, retryable: false }).answer, 'x-should-retry'), 'false');
  });

  it('names the parameter at fault and the way to authenticate', () => {
    const { body } = answerFor({ code: 'model_not_found', parameters: { model: 'x', hint: '' } });
    assert.equal((body.error as { param: string }).param, 'model');
    const duplicate = answerFor({ code: 'model_duplicate', parameters: { key: 'stream' } });
    assert.equal((duplicate.body.error as { param: string }).param, 'stream');
    const { answer } = answerFor({ code: 'key_missing', parameters: {} });
    assert.equal(headerOf(answer, 'www-authenticate'), 'Bearer');
  });
});

describe('streamErrorFrame', () => {
  const frame = (dialect: Dialect, midFrame = false): string => {
    return streamErrorFrame(DIED, { dialect, requestId: 'r1' }, { midFrame }).toString();
  };
  const stream = (...frames: string[]): Response => {
    return new Response(frames.join(''), { headers: { 'content-type': 'text/event-stream' } });
  };

  it('is one frame without a clean end', () => {
    for (const dialect of ['openai', 'responses', 'anthropic'] as const) {
      const text = frame(dialect);
      assert(text.endsWith('\n\n') && !text.includes('[DONE]'));
      assert.equal(text.split('\n\n').length, 2);
      assert.equal(text.startsWith('event: error\n'), dialect !== 'openai');
    }
  });

  it('makes the openai client throw, for chat and for responses', async () => {
    const first = {
      openai: 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n',
      responses: 'event: response.created\ndata: {"type":"response.created"}\n\n',
    };
    for (const dialect of ['openai', 'responses'] as const) {
      const chunks: unknown[] = [];
      const read = async (): Promise<void> => {
        const response = stream(first[dialect], frame(dialect));
        for await (const chunk of OpenAiStream.fromSSEResponse(response, new AbortController()))
          chunks.push(chunk);
      };
      await assert.rejects(read, (error) => {
        assert(error instanceof OpenAiError);
        assert.equal(error.code, 'engine_died');
        assert.match(error.message, /died while it handled the request: signal 9/);
        return true;
      });
      assert.equal(chunks.length, 1);
    }
  });

  it('makes the Anthropic client throw', async () => {
    const read = async (): Promise<void> => {
      const response = stream('event: ping\ndata: {"type":"ping"}\n\n', frame('anthropic'));
      for await (const _ of AnthropicStream.fromSSEResponse(response, new AbortController()));
    };
    await assert.rejects(read, (error) => {
      assert(error instanceof AnthropicError);
      assert.match(error.message, /died while it handled the request/);
      return true;
    });
  });

  it('closes a frame that was cut, so that the error stands on a line of its own', () => {
    const text = `data: {"choices":[{"del${frame('openai', true)}`;
    assert.match(text, /^data: \{"choices":\[\{"del\n\ndata: \{"error":/);
  });
});

describe('engineErrorFrame', () => {
  const dataOf = (status: number, body: string, dialect: Dialect) => {
    const frame = engineErrorFrame(status, body, { dialect, requestId: 'r1' }).toString();
    assert.equal(frame.startsWith('event: error\n'), dialect !== 'openai');
    assert.ok(frame.endsWith('\n\n') && frame.split('\n\n').length === 2);
    return JSON.parse(frame.slice(frame.indexOf('data: ') + 6)) as {
      readonly type?: string;
      readonly code?: unknown;
      readonly error: Readonly<Record<string, unknown>>;
      readonly origin: string;
    };
  };

  it("carries the engine's status, code and message in each dialect", () => {
    const body = JSON.stringify({ error: { message: 'm', type: 'BadRequestError', param: 'p', code: 400 } });
    const openai = dataOf(400, body, 'openai');
    assert.deepEqual(openai.error, {
      message: 'm',
      type: 'BadRequestError',
      param: 'p',
      code: 400,
      status: 400,
    });
    assert.equal(openai.origin, 'engine');
    const responses = dataOf(400, body, 'responses');
    assert.equal(responses.type, 'error');
    assert.equal(responses.code, 400);
    const anthropic = dataOf(400, body, 'anthropic');
    assert.equal(anthropic.type, 'error');
    assert.deepEqual(anthropic.error, { type: 'BadRequestError', message: 'm', code: 400, status: 400 });
  });

  it('finds the message in the shapes that engines use, and says the status where there is none', () => {
    for (const [body, message] of [
      ['{"error":"text"}', 'text'],
      ['{"detail":"text"}', 'text'],
      ['{"detail":[{"loc":["body"]}]}', '[{"loc":["body"]}]'],
      ['{"object":"error","message":"text"}', 'text'],
      ['{"type":"error","error":{"type":"api_error","message":"text"}}', 'text'],
      ['  upstream broke\n', 'upstream broke'],
      ['[1]', '[1]'],
      ['', 'the engine answered with status 502'],
      ['{"error":{"message":7}}', 'the engine answered with status 502'],
    ] as const) {
      const { error } = dataOf(502, body, 'openai');
      assert.equal(error.message, message);
      assert.equal(error.code, 502);
      assert.equal(error.status, 502);
    }
    assert.ok(String(dataOf(500, 'x'.repeat(100_000), 'openai').error.message).length < 5_000);
  });
});
