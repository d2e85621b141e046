import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { RecordingObserver } from '../recording-observer.ts';
import { createRecordingObserver } from '../recording-observer.ts';
import type { OutputTail } from './output-tail.ts';
import { OLDER_OUTPUT_SUFFIX, openOutputTail } from './output-tail.ts';

interface Followed {
  readonly path: string;
  readonly tail: OutputTail;
  readonly heard: RecordingObserver;
}

async function follow(
  t: TestContext,
  existing: string,
  from: 'start' | 'end',
  limitBytes = 1_000_000,
): Promise<Followed> {
  const directory = await mkdtemp(join(tmpdir(), 'vg-'));
  const path = join(directory, 'out.log');
  await writeFile(path, existing);
  const heard = createRecordingObserver();
  const tail = await openOutputTail({ path, from, limitBytes, onLine: (line) => heard.line(line) });
  t.after(async () => {
    await tail.close();
    await rm(directory, { recursive: true });
  });
  return { path, tail, heard };
}

test('what is there and what comes is delivered in order, without being asked', async (t) => {
  const { path, heard } = await follow(t, 'a\nb\n', 'start');
  await heard.waitForLine(/b/);
  await appendFile(path, 'c\nd');
  await heard.waitForLine(/c/);
  await appendFile(path, 'e\n');
  await heard.waitForLine(/de/);
  assert.deepEqual(heard.lines, ['a', 'b', 'c', 'de']);
});

test('from the end, only what comes is delivered', async (t) => {
  const { path, heard } = await follow(t, 'old\n', 'end');
  await appendFile(path, 'new\n');
  await heard.waitForLine(/new/);
  assert.deepEqual(heard.lines, ['new']);
});

test('O1: a drain delivers all that was written before, and a last line without an end', async (t) => {
  const { path, tail, heard } = await follow(t, '', 'start');
  const text = Array.from({ length: 20_000 }, (_, index) => `line ${index}`).join('\n');
  await appendFile(path, text);
  await tail.drain();
  assert.equal(heard.lines.length, 20_000);
  assert.equal(heard.lines.at(-1), 'line 19999');
});

test('O2: at its limit the file begins anew, the older part is kept, and no line is lost', async (t) => {
  const { path, tail, heard } = await follow(t, '', 'start', 2_000);
  for (let index = 0; index < 100; index += 1) {
    await appendFile(path, `${String(index).padStart(99, '0')}\n`);
    await tail.drain();
  }
  assert.deepEqual(
    heard.lines.map(Number),
    Array.from({ length: 100 }, (_, index) => index),
  );
  assert.ok((await stat(path)).size <= 2_100);
  assert.ok((await readFile(path + OLDER_OUTPUT_SUFFIX, 'utf8')).length >= 2_000);
});

test('a file that somebody emptied is followed from its new beginning', async (t) => {
  const { path, tail, heard } = await follow(t, 'a long first line\n', 'start');
  await tail.drain();
  await truncate(path, 0);
  await tail.drain();
  await appendFile(path, 'anew\n');
  await tail.drain();
  assert.deepEqual(heard.lines, ['a long first line', 'anew']);
});

test('O3: nothing is delivered after close, and closing twice is harmless', async (t) => {
  const { path, tail, heard } = await follow(t, '', 'start');
  await tail.close();
  await tail.close();
  await appendFile(path, 'late\n');
  assert.deepEqual(heard.lines, []);
});
