import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineHttp, SleepLevel, SleepOptions } from '../engine.ts';
import { modelFixture } from '../engine-fixtures.ts';
import { isVllmAsleep, sleepVllm, wakeVllm } from './sleep.ts';
import { warmUpVllm } from './warm-up.ts';

type Reply = { readonly status: number; readonly body?: unknown } | 'broken' | 'silent';

/** Answers each path with what stands for it, and 404 for the rest; keeps what it was asked. */
function scripted(replies: Readonly<Record<string, Reply>>): { http: EngineHttp; asked: string[] } {
  const asked: string[] = [];
  const http: EngineHttp = {
    request: ({ method, path, body }) => {
      asked.push(`${method} ${path}${body === undefined ? '' : ` ${body}`}`);
      const reply = replies[path] ?? { status: 404, body: { detail: 'Not Found' } };
      if (reply === 'broken') return Promise.reject(new Error('other side closed'));
      if (reply === 'silent') return new Promise(() => {});
      const text = reply.body === undefined ? '' : JSON.stringify(reply.body);
      return Promise.resolve({ status: reply.status, body: text });
    },
  };
  return { http, asked };
}

function within(level: SleepLevel, timeoutMs = 5_000): SleepOptions {
  return { level, timeoutMs, signal: new AbortController().signal };
}

const ok = (body?: unknown): Reply => ({ status: 200, body });
const engineError: Reply = {
  status: 500,
  body: { error: { message: 'Call to sleep method failed: no room', type: 'InternalServerError' } },
};

const SLEEP = '/sleep?level=1&mode=abort';
for (const [name, replies, expected] of [
  ['asleep', { [SLEEP]: ok({ status: 'sleeping', level: 1 }) }, 'done'],
  ['an older release', { [SLEEP]: ok(), '/is_sleeping': ok({ is_sleeping: true }) }, 'done'],
  [
    'an older release that does not sleep',
    { [SLEEP]: ok(), '/is_sleeping': ok({ is_sleeping: false }) },
    '/is_sleeping answers false',
  ],
  ['one that cannot say', { [SLEEP]: ok() }, '/is_sleeping answers 404: Not Found'],
  [
    'another level',
    { [SLEEP]: ok({ status: 'sleeping', level: 2 }) },
    '/sleep answers status "sleeping" and level 2',
  ],
  ['awake', { [SLEEP]: ok({ status: 'awake', level: 1 }) }, '/sleep answers status "awake" and level 1'],
  ['an error', { [SLEEP]: engineError }, '/sleep answers 500: Call to sleep method failed: no room'],
  ['no route', {}, '/sleep answers 404: Not Found'],
  ['a broken connection', { [SLEEP]: 'broken' }, '/sleep: other side closed'],
] as const) {
  test(`sleep: ${name}`, async () => {
    const result = await sleepVllm(scripted(replies).http, within(1));
    assert.equal(result.kind === 'done' ? 'done' : result.detail, expected);
  });
}

const WEIGHTS = '/wake_up?tags=weights';
const CACHE = '/wake_up?tags=kv_cache';
const WHOLE: Readonly<Record<string, Reply>> = {
  [WEIGHTS]: ok({ status: 'sleeping', tags: ['weights'] }),
  '/collective_rpc': ok({ results: [null] }),
  [CACHE]: ok({ status: 'awake', tags: ['kv_cache'] }),
  '/reset_prefix_cache': ok({ success: true }),
};

for (const [name, level, replies, expected] of [
  ['level 1', 1, { '/wake_up': ok({ status: 'awake', tags: null }) }, 'done'],
  [
    'level 1, the code says yes and the status no',
    1,
    { '/wake_up': ok({ status: 'sleeping', tags: null }) },
    '/wake_up answers status "sleeping"',
  ],
  ['level 1, older', 1, { '/wake_up': ok(), '/is_sleeping': ok({ is_sleeping: false }) }, 'done'],
  [
    'level 1, older and asleep',
    1,
    { '/wake_up': ok(), '/is_sleeping': ok({ is_sleeping: true }) },
    '/is_sleeping answers true',
  ],
  [
    'level 1, no room',
    1,
    { '/wake_up': engineError },
    '/wake_up answers 500: Call to sleep method failed: no room',
  ],
  ['level 2', 2, WHOLE, 'done'],
  [
    'level 2, no room for the weights',
    2,
    { ...WHOLE, [WEIGHTS]: engineError },
    `${WEIGHTS} answers 500: Call to sleep method failed: no room`,
  ],
  [
    'level 2, not read again',
    2,
    { ...WHOLE, '/collective_rpc': 'broken' },
    'reload_weights: other side closed',
  ],
  [
    'level 2, part asleep',
    2,
    { ...WHOLE, [CACHE]: ok({ status: 'sleeping' }) },
    `${CACHE} answers status "sleeping"`,
  ],
  [
    'level 2, stale cache',
    2,
    { ...WHOLE, '/reset_prefix_cache': ok({ success: false }) },
    '/reset_prefix_cache answers success false',
  ],
] as const) {
  test(`wake: ${name}`, async () => {
    const { http, asked } = scripted(replies);
    const result = await wakeVllm(http, within(level));
    assert.equal(result.kind === 'done' ? 'done' : result.detail, expected);
    // Never everything at once after level 2.
    if (level === 2) assert.ok(!asked.includes('POST /wake_up'));
  });
}

test('level 2 is woken in its one order', async () => {
  const { http, asked } = scripted(WHOLE);
  await wakeVllm(http, within(2));
  assert.deepEqual(asked, [
    `POST ${WEIGHTS}`,
    'POST /collective_rpc {"method":"reload_weights"}',
    `POST ${CACHE}`,
    'POST /reset_prefix_cache',
  ]);
});

test('an engine that does not answer, or whose launch ends, is given up', async () => {
  const hanging = { ...WHOLE, '/collective_rpc': 'silent' } as const;
  const late = await wakeVllm(scripted(hanging).http, within(2, 20));
  assert.match(
    late.kind === 'failed' ? late.detail : '',
    /^reload_weights: .* gave no answer within \d+ ms$/,
  );
  const over = new AbortController();
  const aborted = sleepVllm(scripted({ [SLEEP]: 'silent' }).http, { ...within(1), signal: over.signal });
  over.abort();
  assert.deepEqual(await aborted, { kind: 'failed', detail: '/sleep: aborted' });
});

test('whether it sleeps is known only from an answer', async () => {
  const asleep = (reply: Reply): Promise<boolean | null> =>
    isVllmAsleep(scripted({ '/is_sleeping': reply }).http, 20);
  assert.equal(await asleep(ok({ is_sleeping: true })), true);
  assert.equal(await asleep(ok({ is_sleeping: false })), false);
  assert.equal(await asleep(ok({ other: 1 })), null);
  // Without the development routes it was never put to sleep.
  assert.equal(await asleep({ status: 404 }), false);
  assert.equal(await asleep({ status: 500, body: { is_sleeping: true } }), null);
  assert.equal(await asleep('broken'), null);
  assert.equal(await asleep('silent'), null);
});

const missing: Reply = { status: 404 };
for (const [name, replies, expected, routes] of [
  ['generating', { '/v1/completions': ok({}) }, 'done', 1],
  ['embedding', { '/v1/completions': missing, '/v1/embeddings': ok({}) }, 'done', 2],
  ['classifying', { '/v1/embeddings': { status: 400 }, '/pooling': ok({}) }, 'done', 3],
  ['none of these', { '/v1/completions': { status: 501 } }, 'done', 3],
  ['behind a key', { '/v1/completions': { status: 401, body: { error: 'Unauthorized' } } }, 'done', 3],
  [
    'dead',
    { '/v1/completions': { status: 500, body: { error: { message: 'dead' } } } },
    '/v1/completions answers 500: dead',
    1,
  ],
  ['broken', { '/v1/completions': 'broken' }, '/v1/completions: other side closed', 1],
] as const) {
  test(`warm-up: ${name}`, async () => {
    const { http, asked } = scripted(replies);
    const result = await warmUpVllm(http, modelFixture({ servedName: 'm' }), within(1));
    assert.equal(result.kind === 'done' ? 'done' : result.detail, expected);
    assert.equal(asked.length, routes);
    assert.match(asked[0] ?? '', /^POST \/v1\/completions \{"model":"m",.*"max_tokens":1/);
  });
}
