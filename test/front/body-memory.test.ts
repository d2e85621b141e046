/** The sum of all bodies has a bound of its own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MODEL, startFixture } from './front-fixture.ts';

const CHAT = '/v1/chat/completions';
const MIB = 1024 * 1024;

test('bodies beyond the bound on their sum are refused until others are gone', async (context) => {
  const { client, engine, ended, gate } = await startFixture(context, {
    server: { bodyMemoryBytes: 2 * MIB },
  });
  engine.behaviour = () => undefined;
  const body = { model: MODEL, text: 'a'.repeat(1.5 * MIB) };
  const first = await client();
  first.post(CHAT, body);
  const held = await engine.request(0);
  const second = await client();
  const refused = await second.post(CHAT, body).answer();
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get('retry-after'), '5');
  assert.match(refused.body, /"code":"body_memory_full"/);
  // Without a declared length, the bytes themselves are counted.
  const text = JSON.stringify(body);
  const chunked = `POST ${CHAT} HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
  assert.equal((await (await client()).send(chunked).answer()).status, 503);
  // Small ones find room still.
  const small = await client();
  small.post(CHAT, { model: MODEL });
  (await engine.request(1)).json({});
  assert.equal((await small.answer()).status, 200);
  held.json({});
  assert.equal((await first.answer()).status, 200);
  engine.behaviour = (request) => request.json({});
  assert.equal((await (await client()).post(CHAT, body).answer()).status, 200);
  await ended(5);
  assert.equal(gate.runningCount, 0);
});
