import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { EngineHttp } from './engine.ts';
import { createEngineHttp } from './engine-http.ts';
import type { ProbeTarget } from './openai-probe.ts';
import { probeOpenAi } from './openai-probe.ts';

const OURS: ProbeTarget = {
  names: ['small'],
  healthPath: '/health',
  healthOptional: false,
  identity: 'required',
};
const COMMAND: ProbeTarget = { ...OURS, healthOptional: true };
const FOREIGN: ProbeTarget = { ...COMMAND, identity: 'informative' };

type Answers = Readonly<Record<string, readonly [status: number, body: string]>>;
const LIST = '{"object":"list","data":[{"id":"other"},{"id":"small","max_model_len":2048}]}';
const OTHERS = '{"object":"list","data":[{"id":"other"}]}';

function answering(answers: Answers): EngineHttp {
  return {
    request: async ({ path }) => {
      const [status, body] = answers[path] ?? [404, '{}'];
      return { status, body };
    },
  };
}

const CASES: readonly (readonly [string, ProbeTarget, Answers, object])[] = [
  [
    'healthy and ours',
    OURS,
    { '/health': [200, ''], '/v1/models': [200, LIST] },
    { kind: 'ready', contextLength: 2048 },
  ],
  ['loading', OURS, { '/health': [503, ''] }, { kind: 'not_ready', detail: '/health answers 503' }],
  [
    'another model',
    OURS,
    { '/health': [200, ''], '/v1/models': [200, OTHERS] },
    { kind: 'stranger', detail: 'it serves other, not small' },
  ],
  [
    'a web server that likes every path',
    OURS,
    { '/health': [200, 'hello'], '/v1/models': [200, '<html>'] },
    { kind: 'stranger', detail: '/v1/models does not answer with a model list' },
  ],
  [
    'a server without a health route, where one must be',
    OURS,
    { '/v1/models': [200, LIST] },
    { kind: 'stranger', detail: '/health answers 404' },
  ],
  [
    'a server without a health route, where none need be',
    COMMAND,
    { '/v1/models': [200, LIST] },
    { kind: 'ready', contextLength: 2048 },
  ],
  ['nothing known', COMMAND, {}, { kind: 'stranger', detail: '/v1/models answers 404' }],
  [
    'a foreign server with neither health route nor our name',
    FOREIGN,
    { '/v1/models': [200, OTHERS] },
    { kind: 'ready', contextLength: null },
  ],
  [
    'a foreign server that refuses our key',
    FOREIGN,
    { '/health': [401, ''] },
    { kind: 'not_ready', detail: '/health answers 401' },
  ],
  [
    'a foreign server that is asked by its model list',
    { ...FOREIGN, healthPath: '/v1/models' },
    { '/v1/models': [200, '{"data":[{"id":"small","context_length":4096}]}'] },
    { kind: 'ready', contextLength: 4096 },
  ],
  [
    'a foreign server with a health route only',
    { ...FOREIGN, healthPath: '/up', healthOptional: false },
    { '/up': [204, ''] },
    { kind: 'ready', contextLength: null },
  ],
];

for (const [name, target, answers, expected] of CASES) {
  test(`probe: ${name}`, async () => {
    assert.deepEqual(await probeOpenAi(answering(answers), target, 1000), expected);
  });
}

async function serve(t: TestContext, listener: RequestListener): Promise<EngineHttp> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return createEngineHttp({ kind: 'tcp', host: '127.0.0.1', port: (server.address() as AddressInfo).port });
}

test('a server that accepts and never answers is not ready when the time is over', async (t) => {
  const http = await serve(t, () => undefined);
  const result = await probeOpenAi(http, OURS, 50);
  assert.equal(result.kind, 'not_ready');
});

test('a server that answers health and hangs on its models stays within the same time', async (t) => {
  const http = await serve(t, (request, response) => {
    if (request.url === '/health') response.end();
  });
  assert.equal((await probeOpenAi(http, OURS, 100)).kind, 'not_ready');
});

test('a transport that neither answers nor keeps its own limit cannot hold a probe', async () => {
  const result = await probeOpenAi({ request: () => new Promise(() => undefined) }, OURS, 20);
  assert.deepEqual(result, { kind: 'not_ready', detail: '/health gave no answer within 20 ms' });
});

test('a transport that throws at once is an answer too', async () => {
  const http: EngineHttp = {
    request: () => {
      throw new Error('no such socket');
    },
  };
  assert.deepEqual(await probeOpenAi(http, OURS, 20), { kind: 'not_ready', detail: 'no such socket' });
});

test('an abort ends a probe', async () => {
  const abort = new AbortController();
  const pending = probeOpenAi({ request: () => new Promise(() => undefined) }, OURS, 60_000, abort.signal);
  abort.abort();
  assert.deepEqual(await pending, { kind: 'not_ready', detail: 'aborted' });
});
