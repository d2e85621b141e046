import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { acquireFileLock, isFileLocked, tryFileLock } from './file-lock.ts';

function place(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'lock-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'models', 'x.lock');
}

const never = new AbortController().signal;

test('who waits gets the lock once it is free, and is told of the waiting once', async (t) => {
  const path = place(t);
  assert.equal(isFileLocked(path), false);
  const first = await acquireFileLock(path, { signal: never });
  assert.ok(isFileLocked(path));
  assert.equal(tryFileLock(path), null);
  let waits = 0;
  const told = Promise.withResolvers<void>();
  const onWait = (): void => {
    waits += 1;
    told.resolve();
  };
  const second = acquireFileLock(path, { signal: never, onWait });
  await told.promise;
  first.release();
  first.release();
  const lock = await second;
  assert.equal(waits, 1);
  assert.ok(isFileLocked(path), 'the release of the first took nothing from the second');
  lock.release();
  assert.equal(isFileLocked(path), false);
});

test('waiting ends with its signal', async (t) => {
  const path = place(t);
  const first = await acquireFileLock(path, { signal: never });
  t.after(() => first.release());
  const giving = new AbortController();
  const onWait = (): void => giving.abort(new Error('enough'));
  await assert.rejects(acquireFileLock(path, { signal: giving.signal, onWait }), /enough|aborted/);
  await assert.rejects(acquireFileLock(path, { signal: AbortSignal.abort() }), /aborted/);
});

test('locks of two files have nothing to do with each other', (t) => {
  const path = place(t);
  const first = tryFileLock(path);
  const second = tryFileLock(`${path}-2`);
  assert.ok(first !== null && second !== null);
  first.release();
  assert.ok(isFileLocked(`${path}-2`));
  second.release();
});
