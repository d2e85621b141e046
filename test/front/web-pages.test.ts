/** What a page in a browser on the gateway's machine, or on its network, can and cannot do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createStaticKeys, parseKeys } from '../../src/access/static-keys.ts';
import { MODEL, startFixture } from './front-fixture.ts';

const CHAT = '/v1/chat/completions';
const BODY = JSON.stringify({ model: MODEL });

function postText(path: string, headers: readonly string[], host = 'localhost:9000'): string {
  const lines = [`POST ${path} HTTP/1.1`, `Host: ${host}`, `Content-Length: ${BODY.length}`, ...headers];
  return `${lines.join('\r\n')}\r\n\r\n${BODY}`;
}

test('bodies that a page can send without asking are refused below /engines/ too', async (context) => {
  const { client, engine, gate } = await startFixture(context);
  engine.behaviour = (request) => request.json({});
  const raw = await client();
  for (const path of [`/engines/${MODEL}${CHAT}`, `/engines/${MODEL}/other`]) {
    for (const type of [
      'Content-Type: text/plain',
      'Content-Type: text/plain;charset=UTF-8',
      'Content-Type: application/x-www-form-urlencoded',
      'X-None: 1',
    ]) {
      const answer = await raw.send(postText(path, [type])).answer();
      assert.equal(answer.status, 415, `${path} ${type}`);
      assert.match(answer.body, /"code":"content_type"/);
    }
  }
  assert.deepEqual(gate.events, []);
  const json = postText(`/engines/${MODEL}${CHAT}`, ['Content-Type: application/json']);
  assert.equal((await raw.send(json).answer()).status, 200);
});

test('a page of another host starts no engine, by any method and with any body', async (context) => {
  const { client, gate } = await startFixture(context);
  const type = 'Content-Type: application/json';
  const form = 'Content-Type: multipart/form-data; boundary=b';
  const raw = await client();
  for (const request of [
    postText(CHAT, [type, 'Origin: https://evil.example']),
    postText(CHAT, [type, 'Origin: null']),
    postText(CHAT, [type, 'Sec-Fetch-Site: cross-site']),
    postText(`/v1/audio/transcriptions?model=${MODEL}`, [form, 'Origin: http://evil.example:9000']),
    postText(`/engines/${MODEL}/v1/audio/transcriptions`, [form, 'Sec-Fetch-Site: cross-site']),
    `GET /engines/${MODEL}/docs HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n`,
  ]) {
    const answer = await raw.send(request).answer();
    assert.equal(answer.status, 403, request);
    assert.match(answer.body, /"code":"page_forbidden"/);
  }
  assert.deepEqual(gate.events, []);
});

test('pages of the same host and applications of their own kind are served', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) => request.json({});
  const raw = await client();
  const type = 'Content-Type: application/json';
  for (const headers of [
    ['Origin: http://localhost:3000', 'Sec-Fetch-Site: same-site'],
    ['Origin: vscode-webview://abc', 'Sec-Fetch-Site: cross-site'],
    ['Sec-Fetch-Site: none'],
  ]) {
    const answer = await raw.send(postText(CHAT, [type, ...headers])).answer();
    assert.equal(answer.status, 200, headers.join());
  }
});

test('without keys a loopback address answers to no name that a stranger can register', async (context) => {
  const { client, engine, gate } = await startFixture(context);
  engine.behaviour = (request) => request.json({});
  const raw = await client();
  const type = 'Content-Type: application/json';
  for (const host of [
    'evil.example',
    'evil.example:9000',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'ai.',
  ]) {
    for (const request of [
      postText(CHAT, [type], host),
      `GET /v1/models HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    ]) {
      const answer = await raw.send(request).answer();
      assert.equal(answer.status, 403, request);
      assert.match(answer.body, /"code":"host_forbidden"/);
    }
  }
  assert.deepEqual(gate.events, []);
  for (const host of [
    'localhost',
    'LOCALHOST:1',
    '127.0.0.1:9000',
    '[::1]:9000',
    '10.0.0.7',
    'a.localhost',
    'box',
  ]) {
    assert.equal((await raw.send(postText(CHAT, [type], host)).answer()).status, 200, host);
  }
});

test('with keys neither the host nor the page matters', async (context) => {
  const entries = parseKeys('a-long-key\n');
  assert(entries.ok);
  const { client, engine } = await startFixture(context, { keys: createStaticKeys(entries.value) });
  engine.behaviour = (request) => request.json({});
  const headers = [
    'Content-Type: application/json',
    'Origin: https://ui.example',
    'Authorization: Bearer a-long-key',
  ];
  const raw = await client();
  assert.equal((await raw.send(postText(CHAT, headers, 'models.example')).answer()).status, 200);
});
