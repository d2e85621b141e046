/**
 * Every route, whole and streamed, through a gateway whose engine is cold, hot or asleep: status, content headers and
 * bytes are those of the engine when it is asked directly. Requests of one model are sent at once, so that all of them
 * meet the engine in the same state.
 */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { MODEL_ROUTES } from '../../src/http/route-table.ts';
import { startWithDearStarts } from '../fixtures/dear-starts.ts';
import { type RunningGateway, simulatedConfig, simulatedModel, until } from '../fixtures/gateway.ts';
import { recordingForm } from '../fixtures/recordings.ts';
import { ROUTE_CASES, type RouteCase } from '../fixtures/route-cases.ts';

/** Believed, so that engines sleep instead of being stopped. */
const DEAR_S = 30;
/** One is awake at a time, and the sleepers leave enough, also by what is assumed of them. */
const DEVICE_MIB = 8192;
const MODEL_MIB = 5000;
const ANSWER_LIMIT_MS = 60_000;
/** Of questions to an engine itself. */
const DIRECT_TRIES_MAX = 20;
/** What is of one answer alone. */
const VARYING = /"(created|created_at|completed_at)":\d+|(modelperm-|msg_|rs_)[0-9a-f]+/g;
const CONTENT_HEADERS = ['content-type', 'content-length', 'transfer-encoding', 'server', 'allow'] as const;

interface Seen {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

let gateway: RunningGateway;
/** Answers of the engines themselves, by the case's number. */
const direct = new Map<number, Seen>();

before(async () => {
  const args = ['--sim-tokens-per-second', 0, '--sim-sleep-seconds', 0.02, '--sim-wake-seconds', 0.02];
  const model = (more: readonly (string | number)[], keys: Readonly<Record<string, unknown>> = {}) =>
    simulatedModel({
      memoryMib: MODEL_MIB,
      loadSeconds: 0.05,
      args: [...args, ...more],
      keys: { max_num_seqs: 64, ...keys },
    });
  const models = {
    chat: model([], { adapters: { poet: '/adapters/poet' } }),
    embed: model(['--sim-task', 'embed', '--sim-embedding-size', 16]),
    class: model(['--sim-task', 'classify']),
    ear: model(['--sim-task', 'transcription', '--sim-answer', 'echo']),
  };
  const devices = { source: 'simulated', simulated: [{ id: 'sim-gpu-0', memory_mib: DEVICE_MIB }] };
  const dear = { chat: DEAR_S, embed: DEAR_S, class: DEAR_S, ear: DEAR_S };
  gateway = await startWithDearStarts(simulatedConfig(models, { devices }), dear);
  // Before that nobody would be put to sleep.
  await until('the host is read', async () => {
    const status = (await gateway.status()) as unknown as {
      host_memory: { budget_mib: number | null } | null;
    };
    return typeof status.host_memory?.budget_mib === 'number';
  });
});
after(() => gateway.stop());

test('the table has a case for every route', () => {
  const tried = new Set(ROUTE_CASES.map(({ label }) => label));
  const missing = [...MODEL_ROUTES.keys()].filter((path) => !tried.has(path));
  assert.deepEqual(missing, []);
});

describe('through the gateway as from the engine', () => {
  for (const model of ['chat', 'embed', 'class', 'ear'] as const) {
    test(`${model}: cold, then hot`, async () => {
      await assertSame(model, 'cold');
      await assertSame(model, 'hot');
    });
  }
  for (const model of ['chat', 'embed', 'class', 'ear'] as const) {
    test(`${model}: asleep`, async () => {
      await until(`${model} sleeps`, async () => (await gateway.status()).models[model]?.state === 'asleep');
      const light = casesOf(model).filter(([, one]) => one.light);
      await compare(model, light, 'hot');
      assert.equal((await gateway.status()).models[model]?.state, 'asleep', 'these need no device');
      await assertSame(model, 'wake');
    });
  }

  test('each route was counted under its own name', async () => {
    const page = await (await fetch(`${gateway.url}/metrics`)).text();
    for (const { model, label } of ROUTE_CASES) {
      assert(page.includes(`vllm_gateway_route_requests_total{model="${model}",route="${label}"}`), label);
    }
  });
});

function casesOf(model: RouteCase['model']): readonly (readonly [number, RouteCase])[] {
  return [...ROUTE_CASES.entries()].filter(([, one]) => one.model === model);
}

/** The light ones of a sleeping engine are looked at apart, before something wakes it. */
async function assertSame(model: RouteCase['model'], load: 'cold' | 'hot' | 'wake'): Promise<void> {
  const cases = casesOf(model).filter(([, one]) => load !== 'wake' || !one.light);
  await compare(model, cases, load);
}

async function compare(
  model: RouteCase['model'],
  cases: readonly (readonly [number, RouteCase])[],
  load: string,
): Promise<void> {
  const { hostname, port } = new URL(gateway.url);
  const answers = await Promise.all(
    cases.map(([index, one]) => ask({ hostname, port }, one, one.path, requestId(index))),
  );
  for (const [at, [index, one]] of cases.entries()) {
    const seen = answers[at];
    assert(seen !== undefined);
    const what = `${one.method} ${one.path} ${one.streams ? 'streamed ' : ''}(${load}): ${seen.body.slice(0, 200)}`;
    const own = direct.get(index) ?? (await askEngine(model, index, one));
    direct.set(index, own);
    assert.equal(own.status, one.status, what);
    assert.equal(seen.status, own.status, what);
    for (const name of CONTENT_HEADERS)
      assert.equal(seen.headers[name], own.headers[name], `${what}: ${name}`);
    assert.equal(plain(seen.body), plain(own.body), what);
    assert.equal(seen.headers['content-type']?.startsWith('text/event-stream') === true, one.streams, what);
    assert.deepEqual(
      [seen.headers['x-request-id'], seen.headers['x-model'], seen.headers['x-load']],
      [requestId(index), model, load],
      what,
    );
    assert.match(String(seen.headers['x-queue-wait-ms']), /^\d+$/, what);
  }
}

/** The engine takes it into its answers, so both get the same one. */
function requestId(index: number): string {
  return `matrix-${index}`;
}

function plain(body: string): string {
  return body.replaceAll(VARYING, '');
}

async function askEngine(model: string, index: number, one: RouteCase): Promise<Seen> {
  const directory = join(gateway.directory, 'state', 's');
  for (const name of await readdir(directory)) {
    const socketPath = join(directory, name);
    const models = { method: 'GET', body: null, file: null };
    if (!name.endsWith('.sock')) continue;
    const { body } = await ask({ socketPath }, models, '/v1/models', 'who');
    if (body.includes(`"id":"${model}"`)) {
      return askUntilHeard(() => ask({ socketPath }, one, one.enginePath ?? one.path, requestId(index)));
    }
  }
  throw new Error(`no engine serves ${model}`);
}

/** An engine that answers early closes on a body that still comes: its own answer may be lost to that, and is asked for again. */
async function askUntilHeard(asking: () => Promise<Seen>): Promise<Seen> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await asking();
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : null;
      if (tries >= DIRECT_TRIES_MAX || (code !== 'EPIPE' && code !== 'ECONNRESET')) throw error;
    }
  }
}

function ask(
  address: { readonly socketPath: string } | { readonly hostname: string; readonly port: string },
  one: Pick<RouteCase, 'method' | 'body' | 'file'>,
  path: string,
  id: string,
): Promise<Seen> {
  const { method } = one;
  const { type, payload } = encoded(one);
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(ANSWER_LIMIT_MS);
    const headers = { ...(type === null ? {} : { 'content-type': type }), 'x-request-id': id };
    const sent = request({ ...address, path, method, headers, agent: false, signal }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.once('error', reject);
      response.once('end', () => {
        const { statusCode: status = 0, headers: got } = response;
        resolve({ status, headers: got, body: Buffer.concat(parts).toString() });
      });
    });
    sent.once('error', reject);
    sent.end(payload);
  });
}

function encoded({ body, file }: Pick<RouteCase, 'body' | 'file'>): {
  readonly type: string | null;
  readonly payload: string | Buffer | undefined;
} {
  if (body === null) return { type: null, payload: undefined };
  if (file !== null) return recordingForm(file, body);
  return { type: 'application/json', payload: JSON.stringify(body) };
}
