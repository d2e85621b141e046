import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { recordFixture } from './launch-record-fixtures.ts';
import { fill, smallDisk } from './small-disk-fixtures.ts';
import { stateId } from './state-id.ts';
import { openStateStore, type StateStore } from './state-store.ts';

function place(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'store-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function open(directory: string, onFault: (text: string) => void = assert.fail): Promise<StateStore> {
  const opened = await openStateStore({ directory, onFault });
  assert.ok(opened.ok, opened.ok ? '' : opened.error);
  return opened.value;
}

async function idsOf({ launches }: StateStore): Promise<readonly string[]> {
  return (await launches.list()).records.map(({ spec }) => spec.launchId);
}

test('one gateway at a time; the next one finds its launches under the same state id', async (t) => {
  const directory = place(t);
  const first = await open(directory);
  const second = await openStateStore({ directory, onFault: assert.fail });
  assert.ok(!second.ok);
  assert.match(
    second.error,
    new RegExp(`^another gateway \\(pid ${process.pid}\\) owns the state directory`),
  );
  await first.launches.save(recordFixture('a-1'));
  await first.close();
  const next = await open(directory);
  assert.deepEqual([await idsOf(next), next.stateId, next.notices], [['a-1'], first.stateId, []]);
  await next.close();
});

test('a database that breaks is set aside: its launches are lost, the state id is not', async (t) => {
  const directory = place(t);
  const first = await open(directory);
  await first.launches.save(recordFixture('a-1'));
  await first.close();
  writeFileSync(join(directory, 'state.db'), 'x'.repeat(10_000));
  const next = await open(directory);
  assert.deepEqual([await idsOf(next), next.stateId], [[], first.stateId]);
  assert.match(next.notices.map(({ text }) => text).join(), /state\.db is broken/);
  await next.launches.save(recordFixture('b-2'));
  await next.close();
});

test('the state id is made once, and anew where it is none', async (t) => {
  const directory = place(t);
  const id = await stateId(directory);
  assert.match(id, /^[0-9a-f]{16}$/);
  assert.equal(await stateId(directory), id);
  writeFileSync(join(directory, 'state-id'), 'x');
  assert.notEqual(await stateId(directory), id);
  assert.notEqual(await stateId(place(t)), id);
});

test('the file of a newer gateway is refused, and the lock given back', async (t) => {
  const directory = place(t);
  const newer = new DatabaseSync(join(directory, 'state.db'));
  newer.exec('PRAGMA user_version = 77');
  for (let round = 0; round < 2; round += 1) {
    const opened = await openStateStore({ directory, onFault: assert.fail });
    assert.ok(!opened.ok);
    assert.match(opened.error, /was written by a newer vllm-gateway/);
  }
  newer.close();
});

test('a directory that cannot be used is told', async () => {
  const opened = await openStateStore({ directory: '/dev/null/state', onFault: assert.fail });
  assert.ok(!opened.ok);
  assert.match(opened.error, /^the state directory \/dev\/null\/state cannot be locked: ENOTDIR/);
});

test('started on a full disk a gateway knows its engines, and can be told to stop', async (t) => {
  const directory = smallDisk(t, 2_048);
  if (directory === null) return t.skip('needs the right to mount a tmpfs');
  const first = await open(directory);
  await first.launches.save(recordFixture('a-1'));
  await first.launches.save(recordFixture('b-2'));
  await first.close();
  fill(directory);
  const faults: string[] = [];
  const next = await open(directory, (text) => faults.push(text));
  assert.match(next.notices.map(({ text }) => text).join(), /cannot be used, so what is learned is lost/);
  assert.deepEqual([await idsOf(next), next.stateId], [['a-1', 'b-2'], first.stateId]);
  await assert.rejects(next.launches.save(recordFixture('c-3')), /can be written: ENOSPC/);
  await next.launches.remove('a-1');
  rmSync(join(directory, 'ballast'));
  await next.launches.save(recordFixture('d-4'));
  await next.launches.remove('c-3');
  await next.close();
  // Nothing lives behind a-1, whose row could not be removed.
  const last = await open(directory);
  assert.deepEqual([await idsOf(last), last.notices], [['a-1', 'b-2', 'd-4'], []]);
  await last.close();
});

test('a copy that was made while a gateway wrote is whole', async (t) => {
  const directory = place(t);
  const copy = place(t);
  const store = await open(directory);
  for (let count = 0; count < 50; count += 1) await store.launches.save(recordFixture(`l-${count}`));
  const backup = new DatabaseSync(join(directory, 'state.db'), { readOnly: true });
  backup.exec(`VACUUM INTO '${join(copy, 'state.db')}'`);
  backup.close();
  await store.launches.save(recordFixture('late-1'));
  await store.close();
  cpSync(join(directory, 'state-id'), join(copy, 'state-id'));
  const restored = await open(copy);
  assert.equal((await idsOf(restored)).length, 50);
  assert.equal(restored.stateId, readFileSync(join(directory, 'state-id'), 'utf8').trim());
  await restored.close();
  assert.deepEqual(
    readdirSync(copy).filter((name) => name.includes('broken')),
    [],
  );
});
