import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { runFetch } from './fetch.ts';
import { FetchBar } from './fetch-bar.ts';

const MIB = 1024 * 1024;
const CLEAR = '\r\u001b[2K';

function terminal(isTerminal = true) {
  let nowMs = 0;
  const written: string[] = [];
  const bar = new FetchBar('small', { write: (text: string) => written.push(text) }, isTerminal, () => nowMs);
  const update = (atMs: number, doneMib: number, totalMib: number | null): string => {
    nowMs = atMs;
    const bytesTotal = totalMib === null ? null : totalMib * MIB;
    bar.update({ bytesDone: doneMib * MIB, bytesTotal, file: 'a' });
    return written.at(-1) ?? '';
  };
  return { bar, written, update };
}

test('the speed is that of bytes that come, not of those that are found', () => {
  const { update } = terminal();
  assert.match(update(0, 900, 1000), /90 % of 1000\.0 MiB$/);
  assert.match(update(1000, 910, 1000), /91 % of 1000\.0 MiB, 10\.0 MiB\/s, 9\.0 s left$/);
  assert.match(update(1500, 1910, 2000), /10\.0 MiB\/s/, 'a second repository is found, complete');
  assert.match(update(2500, 1920, 2000), /10\.0 MiB\/s, 8\.0 s left$/);
});

test('what is done before there are figures stands in the place of the bar, and lines that stay above it', () => {
  const { bar, written, update } = terminal();
  bar.say('asking http://hub…');
  bar.above('one failed try');
  update(0, 1, 2);
  bar.clear();
  assert.deepEqual(written.slice(0, 4), [
    `${CLEAR}small: asking http://hub…`,
    CLEAR,
    'one failed try\n',
    `${CLEAR}small: asking http://hub…`,
  ]);
  assert.match(written[4] ?? '', /small: \[#+-+\] {2}50 % of 2\.0 MiB$/);
  assert.equal(written.at(-1), CLEAR);
  const pipe = terminal(false);
  pipe.bar.say('asking http://hub…');
  pipe.bar.above('one failed try');
  assert.deepEqual(pipe.written, ['small: asking http://hub…\n', 'one failed try\n']);
});

test('while a hub does not answer, the command tells whom it asks at once, and each failed try', async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'fetch-bar-'));
  const asked = Promise.withResolvers<void>();
  let requests = 0;
  const hub = createServer((_, response) => {
    requests += 1;
    if (requests === 1) response.writeHead(502).end();
    else asked.resolve();
  });
  await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    hub.closeAllConnections();
    hub.close();
    await rm(home, { recursive: true, force: true });
  });
  const endpoint = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
  let text = '';
  const output = { write: (part: string) => (text += part) };
  const ended = new AbortController();
  const environment = { HOME: home, HF_HOME: home, HF_ENDPOINT: endpoint };
  const running = runFetch(
    { models: ['acme/small'], environment, isTerminal: false, signal: ended.signal },
    output,
  );
  await asked.promise;
  const lines = text.split('\n');
  assert.equal(lines[0], `acme/small: asking ${endpoint}…`);
  assert.match(lines[1] ?? '', /^acme\/small: http:.* answered with status 502; the next try is in 0\.\d s$/);
  ended.abort();
  assert.equal(await running, 130);
});
