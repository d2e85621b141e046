import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRequestLog, type LoggedRequest } from './request-log.ts';

const END: LoggedRequest = {
  clientRequestId: 'r-1',
  method: 'POST',
  target: '/v1/chat/completions?api-key=secret',
  clientAddress: '10.0.0.7',
  model: 'a',
  outcome: 'answered',
  status: 200,
  code: null,
  load: 'hot',
  waitMs: 1.4,
  durationMs: 20.6,
  attempts: 1,
};

function logged(level: 'info' | 'debug', end: Partial<LoggedRequest>): unknown[] {
  const lines: unknown[] = [];
  createRequestLog((...line) => void lines.push(line), level)({ ...END, ...end });
  return lines;
}

test('what went well is logged for debugging only', () => {
  assert.deepEqual(logged('info', {}), []);
  assert.deepEqual(logged('info', { status: 404, outcome: 'refused', code: 'model_not_found' }), []);
  assert.equal(logged('debug', {}).length, 1);
});

test('what went wrong is logged with the id that the client shows, and the cause', () => {
  assert.deepEqual(logged('info', { status: 503, outcome: 'refused', code: 'start_failed', load: null }), [
    [
      'warn',
      'request refused',
      {
        request: 'r-1',
        method: 'POST',
        path: '/v1/chat/completions',
        client: '10.0.0.7',
        model: 'a',
        status: 503,
        code: 'start_failed',
        duration_ms: 21,
      },
    ],
  ]);
  assert.equal(logged('info', { outcome: 'engine_error' }).length, 1);
});
