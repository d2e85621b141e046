/**
 * What a client gets through the gateway beside what the engine's own socket gives for the same request: status, content
 * headers and bytes. Ids and times that the engine makes anew for each answer are masked. One request at a time, because
 * what shares a batch may change the last digits of an answer.
 */
import assert from 'node:assert/strict';
import {
  type EngineAddress,
  type ExchangeAnswer,
  type ExchangeRequest,
  exchange,
} from '../contract/http-exchange.ts';
import { type RunningGateway, until } from '../fixtures/gateway.ts';
import { ROUTE_CASES, type RouteCase } from '../fixtures/route-cases.ts';
import { findEngine } from './real-gateway.ts';

const CONTENT_HEADERS = ['content-type', 'content-length', 'server', 'allow'];
/** Of one answer alone. */
const VARYING =
  /"(?:created|created_at|completed_at)":[\d.]+|(?:modelperm-|msg_|resp_|rs_|(?:embd|score|rerank|pooling|classify)-)[0-9a-f-]+/g;
/** vLLM sends two tokens in one event when it has them at once, so the events of a stream may be told apart differently. */
const STREAM_ATTEMPTS_MAX = 4;
const TERMINAL = /"status":"(completed|incomplete|failed|cancelled)"/;
/** What SmolLM2 cannot, and vllm-sim can. */
const OTHER_STATUS: Readonly<Record<string, number>> = { '/v1/systemone': 501 };
/** Names of the route matrix's adapter and of ours. */
const ADAPTER = { theirs: 'poet', ours: 'noise' };

interface Sides {
  readonly gateway: EngineAddress;
  readonly engine: EngineAddress;
}

/** All cases of the route matrix for a model of this kind. */
export async function compareAnswers(
  gateway: RunningGateway,
  model: string,
  kind: RouteCase['model'],
): Promise<void> {
  const sides = await sidesOf(gateway, model);
  for (const [index, one] of ROUTE_CASES.entries()) {
    if (one.model !== kind) continue;
    const what = `${one.method} ${one.path}${one.streams ? ' streamed' : ''}`;
    const json = one.body === null ? null : bodyFor(one.body, model);
    const asked = {
      method: one.method,
      headers: { 'x-request-id': `direct-${index}` },
      ...(json === null ? {} : { json }),
    };
    const path = one.path.replace(`/engines/${kind}/`, `/engines/${model}/`);
    const ask = async () => {
      const through = await exchange(sides.gateway, { ...asked, path });
      const direct = await exchange(sides.engine, { ...asked, path: one.enginePath ?? one.path });
      return { through, direct };
    };
    const [through, direct] = await untilAlike(ask, one.streams);
    assert.deepEqual(through, direct, what);
    assert.equal(
      direct.status,
      OTHER_STATUS[one.path] ?? one.status,
      `${what}: ${direct.body.slice(0, 300)}`,
    );
    assert.equal(
      direct.headers.some((line) => line.startsWith('content-type: text/event-stream')),
      one.streams,
      what,
    );
  }
}

/** What comes after a create: asking again, cancelling, and a response made in the background. */
export async function compareStoredResponses(gateway: RunningGateway, model: string): Promise<void> {
  const sides = await sidesOf(gateway, model);
  const both = async (asked: ExchangeRequest, what: string): Promise<Plain> => {
    const through = plain(await exchange(sides.gateway, asked));
    assert.deepEqual(through, plain(await exchange(sides.engine, asked)), what);
    return through;
  };
  const create = async (more: Readonly<Record<string, unknown>>): Promise<string> => {
    const json = { model, input: 'Name a town', temperature: 0, max_output_tokens: 6, ...more };
    const { status, body } = await exchange(sides.gateway, { path: '/v1/responses', json });
    assert.equal(status, 200, body);
    return `/v1/responses/${String((JSON.parse(body) as { id: string }).id)}`;
  };
  const stored = await create({});
  assert.match((await both({ path: stored }, 'retrieve')).body, TERMINAL);
  await both({ path: `${stored}/cancel`, method: 'POST' }, 'cancel of what has ended');
  await both({ path: stored, method: 'DELETE' }, 'delete');

  const made = await create({ background: true });
  await until('the background response ends', async () => {
    return TERMINAL.test((await exchange(sides.gateway, { path: made })).body);
  });
  const { body } = await both({ path: made }, 'retrieve of a background response');
  assert.match(body, /"output_tokens":6/);

  const events = await exchange(sides.gateway, {
    path: '/v1/responses',
    json: {
      model,
      input: 'Name a town',
      temperature: 0,
      max_output_tokens: 6,
      background: true,
      stream: true,
    },
  });
  const id = /"id":"(resp_[^"]+)"/.exec(events.body)?.[1];
  const again = await both({ path: `/v1/responses/${id}?stream=true&starting_after=2` }, 'events again');
  assert(events.body.includes('response.completed') && again.body.includes('response.completed'));

  const endless = await create({ background: true, max_output_tokens: 900, ignore_eos: true });
  const cancelled = await exchange(sides.gateway, { path: `${endless}/cancel`, method: 'POST' });
  assert.match(cancelled.body, /"status":"cancelled"/);
  await both({ path: endless }, 'retrieve of a cancelled response');
}

async function sidesOf(gateway: RunningGateway, model: string): Promise<Sides> {
  const engine = await findEngine(gateway, model);
  assert(engine !== null, `${model} has no engine`);
  const { hostname: host, port } = new URL(gateway.url);
  return { gateway: { host, port: Number(port) }, engine: { socketPath: engine.socketPath } };
}

/** The case's body for our model, answered the same way each time. */
function bodyFor(body: Readonly<Record<string, unknown>>, model: string): Record<string, unknown> {
  const name = body['model'] === ADAPTER.theirs ? ADAPTER.ours : model;
  const generates = 'max_tokens' in body || 'max_output_tokens' in body;
  const { input_type: _ofOtherModels, ...known } = body;
  return { ...known, model: name, ...(generates ? { temperature: 0, seed: 1 } : {}) };
}

interface Plain {
  readonly status: number | null;
  /** The content headers that there are, as lines. */
  readonly headers: readonly string[];
  readonly body: string;
  readonly end: string;
}

async function untilAlike(
  ask: () => Promise<{ readonly through: ExchangeAnswer; readonly direct: ExchangeAnswer }>,
  streams: boolean,
): Promise<readonly [Plain, Plain]> {
  for (let attempt = 1; ; attempt++) {
    const { through, direct } = await ask();
    const pair = [plain(through), plain(direct)] as const;
    const isLast = !streams || attempt === STREAM_ATTEMPTS_MAX;
    if (isLast || pair[0].body === pair[1].body) return pair;
  }
}

function plain({ status, headers, body, end }: ExchangeAnswer): Plain {
  const content = headers
    .filter(([name]) => CONTENT_HEADERS.includes(name))
    .map(([name, value]) => `${name}: ${value}`)
    .sort();
  return { status, headers: content, body: body.replaceAll(VARYING, '…'), end };
}
