import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readAnswers } from './answer-reader.ts';
import type { Played } from './client.ts';
import { judge } from './judge.ts';
import { requestKey } from './ledger.ts';
import { fuzz } from './run.ts';
import { type Script, scriptOf } from './script.ts';
import { readStrictly } from './strict-reader.ts';
import { MARK } from './valid-request.ts';

const REQUESTS = 2_000;
/** As many seeds as days: each day tries others, and a failure names its seed. */
const SEED = Math.floor(Date.now() / 86_400_000);

test(`${REQUESTS} random and broken requests: nothing crashes, leaks, or is answered with another's answer`, async () => {
  const { violations, requests, reachedEngine } = await fuzz({ seed: SEED, requests: REQUESTS });
  assert.deepEqual(
    violations.map(({ script, text }) => `${text} (npm run fuzz:http -- --seed ${SEED} --script ${script})`),
    [],
  );
  assert.ok(requests >= REQUESTS && reachedEngine > REQUESTS / 10);
});

test('the strict reader ends requests where RFC 9112 says', () => {
  const post = 'POST / HTTP/1.1\r\nHost: x\r\n';
  const read = (bytes: string): string => {
    const { requests, tail } = readStrictly(bytes);
    return `${requests.map(({ method, body }) => `${method}:${body}`).join(' ')}|${tail}`;
  };
  assert.equal(read(`${post}Content-Length: 2\r\n\r\nabGET / HTTP/1.1\r\n\r\n`), 'POST:ab GET:|clean');
  assert.equal(
    read(`${post}Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n0\r\nT: 1\r\n\r\n`),
    'POST:ab|clean',
  );
  assert.equal(read(`${post}Content-Length: 3\r\n\r\nab`), '|incomplete');
  assert.equal(read(`${post}Connection: close\r\n\r\nGET /`), 'POST:|ended');
  for (const header of [
    'Content-Length: 2\r\nContent-Length: 2',
    'Content-Length: +2',
    'Content-Length: 2\r\nTransfer-Encoding: chunked',
    'Transfer-Encoding: gzip, chunked',
    'X : y',
    'X: y\r\n folded',
    'X: y\nZ: z',
    'X: a\0b',
  ])
    assert.equal(read(`${post}${header}\r\n\r\nab`), '|malformed', header);
  for (const chunk of ['2 \r\nab', '2\nab', '+2\r\nab', '2\r\nabX', '0\r\nContent-Length: 1\r\n\r\n'])
    assert.equal(read(`${post}Transfer-Encoding: chunked\r\n\r\n${chunk}\r\n`), '|malformed', chunk);
});

/** A script of two pipelined requests that are as they should be. */
function twoRequests(): Script {
  for (let index = 0; ; index++) {
    const script = scriptOf(1, index);
    const { requests } = script.reading;
    const plain = requests.every(({ method, minor }) => method === 'POST' && minor === 1);
    if (script.isValid && script.leaving === 'waits' && requests.length === 2 && plain) return script;
  }
}

test('the judge sees exchanged, missing, surplus and mixed answers', () => {
  const script = twoRequests();
  const [first = '', second = ''] = script.reading.requests.map(requestKey);
  const answer = (key: string, told = key): string => {
    const body = JSON.stringify({ key: told });
    return `HTTP/1.1 200 OK\r\n${MARK}-key: ${key}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  };
  const judged = (bytes: string): number =>
    judge(script, { bytes, end: 'fin', timedOut: false } satisfies Played).length;
  assert.equal(judged(answer(first) + answer(second)), 0);
  assert.ok(judged(answer(second) + answer(first)) > 0);
  assert.ok(judged(answer(first)) > 0);
  assert.ok(judged(answer(first) + answer(second) + answer(second)) > 0);
  assert.ok(judged(answer(first, second) + answer(second)) > 0);
  assert.ok(judged(answer(first) + answer(second).slice(0, -3)) > 0);
  assert.ok(judged(`${answer(first)}HTTP/1.1 100 Continue\r\n\r\nrubbish\r\n\r\n`) > 0);
  assert.equal(readAnswers(answer(first), ['HEAD'], true).answers[0]?.body, '');
});
