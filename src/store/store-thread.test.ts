import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openStateDatabase } from './state-database.ts';
import type { StoreAnswer, StoreJob } from './store-jobs.ts';
import { StoreThread } from './store-thread.ts';

const CRASHING = new URL('crashing-store.fixture.ts', import.meta.url);

/** With a state.db, closed again. */
function place(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'thread-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const opened = openStateDatabase({ directory, access: 'own', onFault: assert.fail });
  assert.ok(opened.ok);
  opened.value.database.close();
  return join(directory, 'state.db');
}

function adding(path: string, flag: string): StoreJob {
  return {
    kind: 'change',
    path,
    inode: null,
    statements: [{ sql: 'INSERT OR REPLACE INTO refused_flags VALUES (?1, ?1)', rows: [[flag]] }],
  };
}

function flags(path: string): unknown[] {
  const connection = new DatabaseSync(path, { readOnly: true, timeout: 5_000 });
  const rows = connection.prepare('SELECT flag FROM refused_flags ORDER BY rowid').all();
  connection.close();
  return rows.map(({ flag }) => flag);
}

function oksOf(answers: readonly StoreAnswer[]): readonly boolean[] {
  return answers.map(({ ok }) => ok);
}

test('T2: jobs are done in their order, and closing waits for them', async (t) => {
  const path = place(t);
  const thread = new StoreThread({ onFault: assert.fail });
  const answers = Promise.all(['a', 'b', 'c', 'd'].map((flag) => thread.run(adding(path, flag))));
  await thread.close();
  await thread.close();
  assert.deepEqual(oksOf(await answers), [true, true, true, true]);
  assert.deepEqual(flags(path), ['a', 'b', 'c', 'd']);
  const late = await thread.run(adding(path, 'late'));
  assert.deepEqual(late, { ok: false, text: 'the store is closed', failure: 'disk' });
});

test('a change that fails leaves nothing and holds up nobody', async (t) => {
  const path = place(t);
  const thread = new StoreThread({ onFault: assert.fail });
  t.after(() => thread.close());
  const bad: StoreJob = {
    kind: 'change',
    path,
    inode: null,
    statements: [
      {
        sql: 'INSERT INTO refused_flags VALUES (?, ?)',
        rows: [
          ['x', 'x'],
          ['x', null],
        ],
      },
    ],
  };
  const [first, second] = await Promise.all([thread.run(bad), thread.run(adding(path, 'a'))]);
  assert.ok(!first.ok && first.failure === 'statement');
  assert.match(first.text, /NOT NULL constraint failed/);
  assert.ok(second.ok);
  assert.deepEqual(flags(path), ['a']);
});

test('T3: after a death changes are made all the same, in their order, and that is told once', async (t) => {
  const path = place(t);
  const faults: string[] = [];
  const thread = new StoreThread({ onFault: (text) => faults.push(text), file: CRASHING });
  t.after(() => thread.close());
  const names = ['a', 'dies once', 'b', 'c'];
  const answers = await Promise.all(names.map((name) => thread.run(adding(path, name))));
  assert.deepEqual(oksOf(answers), [true, true, true, true]);
  assert.deepEqual(flags(path).toSorted(), names.toSorted());
  assert.deepEqual(faults, ["the store's thread died (this thread dies once) and is started again"]);
});

test('T3: a change that kills every thread is given up, and after too many deaths nothing is tried', async (t) => {
  const path = place(t);
  const faults: string[] = [];
  const thread = new StoreThread({ onFault: (text) => faults.push(text), file: CRASHING });
  t.after(() => thread.close());
  const first = await thread.run(adding(path, 'dies always'));
  assert.ok(!first.ok && first.failure === 'lost');
  assert.ok((await thread.run(adding(path, 'a'))).ok, 'others go on');
  for (let round = 0; round < 2; round += 1) await thread.run(adding(path, 'dies always'));
  const refused = await thread.run(adding(path, 'b'));
  assert.ok(!refused.ok);
  assert.match(refused.text, /its thread died too often/);
  assert.deepEqual(flags(path), ['a']);
  assert.equal(faults.length, 2);
  assert.match(faults[1] ?? '', /too often, so nothing is kept there any more until the next start/);
});

test('T1: a thread without jobs closes its files and ends; the next job has another one', async (t) => {
  const path = place(t);
  const thread = new StoreThread({ onFault: assert.fail, idleMs: 1 });
  t.after(() => thread.close());
  for (const flag of ['a', 'b', 'c']) {
    assert.ok((await thread.run(adding(path, flag))).ok);
    // The last connection takes the journal along.
    for (let round = 0; existsSync(`${path}-wal`) && round < 500; round += 1) await sleep(10);
    assert.ok(!existsSync(`${path}-wal`));
  }
  assert.deepEqual(flags(path), ['a', 'b', 'c']);
});

test('T1: jobs that come while a thread ends are done', async (t) => {
  const path = place(t);
  const thread = new StoreThread({ onFault: assert.fail, idleMs: 0 });
  t.after(() => thread.close());
  for (let count = 0; count < 60; count += 1) {
    assert.ok((await thread.run(adding(path, `f${count}`))).ok);
    if (count % 3 === 0) await sleep(count % 7);
  }
  assert.equal(flags(path).length, 60);
});

test('T1: a process ends by itself with an idle thread, and not before its changes are made', (t) => {
  const path = place(t);
  const code = `
    const { StoreThread } = await import(${JSON.stringify(new URL('store-thread.ts', import.meta.url).href)});
    const thread = new StoreThread({ onFault: (text) => process.stderr.write(text), idleMs: 3_600_000 });
    const job = (flag) => ({ kind: 'change', path: ${JSON.stringify(path)}, inode: null,
      statements: [{ sql: 'INSERT INTO refused_flags VALUES (?1, ?1)', rows: [[flag]] }] });
    await thread.run(job('a'));
    thread.run(job('b')).then(() => process.stdout.write('made'));`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.deepEqual([child.status, child.stderr, child.stdout], [0, '', 'made']);
  assert.deepEqual(flags(path), ['a', 'b']);
});
