import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { ProcessIdentity } from './launch-records.ts';
import { acquireStateLock } from './state-lock.ts';

async function place(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'vg-'));
  t.after(() => rm(directory, { recursive: true }));
  return directory;
}

function gateway(pid: number): ProcessIdentity {
  return { pid, startTicks: String(pid * 10), bootId: 'boot' };
}

const nobody = (): boolean => false;
const everybody = (): boolean => true;

test('a living owner keeps the lock and is named', async (t) => {
  const directory = await place(t);
  const first = await acquireStateLock(directory, gateway(10), everybody);
  assert.equal(first.kind, 'acquired');
  assert.deepEqual(await acquireStateLock(directory, gateway(11), everybody), {
    kind: 'held',
    owner: gateway(10),
  });
  assert.deepEqual(await readdir(directory), ['owner.json']);
});

test('a released lock is free, and releasing it late takes nothing from its next owner', async (t) => {
  const directory = await place(t);
  const first = await acquireStateLock(directory, gateway(10), everybody);
  assert.ok(first.kind === 'acquired');
  await first.lock.release();
  assert.equal((await acquireStateLock(directory, gateway(11), everybody)).kind, 'acquired');
  await first.lock.release();
  assert.equal((await acquireStateLock(directory, gateway(12), everybody)).kind, 'held');
});

test('the lock of a dead owner, and one that cannot be read, are taken over', async (t) => {
  const directory = await place(t);
  await acquireStateLock(directory, gateway(10), everybody);
  assert.equal((await acquireStateLock(directory, gateway(11), nobody)).kind, 'acquired');
  await writeFile(join(directory, 'owner.json'), 'torn');
  assert.equal((await acquireStateLock(directory, gateway(12), everybody)).kind, 'acquired');
});

test('of many gateways that find a stale lock in one moment, one becomes the owner', async (t) => {
  const directory = await place(t);
  await acquireStateLock(directory, gateway(10), everybody);
  const living = (identity: ProcessIdentity): boolean => identity.pid !== 10;
  const rivals = Array.from({ length: 8 }, (_, index) => gateway(20 + index));
  const results = await Promise.all(rivals.map((self) => acquireStateLock(directory, self, living)));
  assert.equal(results.filter(({ kind }) => kind === 'acquired').length, 1);
  assert.deepEqual(await readdir(directory), ['owner.json']);
});
