import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readLearnedCosts, type StoredCost, writeLearnedCosts } from './learned-costs.ts';
import { openStateDatabase, type StateDatabase, type StateDatabaseOptions } from './state-database.ts';

interface Place {
  readonly former: string;
  open(access?: StateDatabaseOptions['access']): StateDatabase;
}

function place(t: TestContext): Place {
  const directory = mkdtempSync(join(tmpdir(), 'costs-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return {
    former: join(directory, 'learned-costs.json'),
    open(access = 'own') {
      const opened = openStateDatabase({ directory, access, onFault: assert.fail });
      assert.ok(opened.ok);
      const { database } = opened.value;
      t.after(() => database.close());
      return database;
    },
  };
}

const FORMER = { signature: 's', startMs: 1, stopMs: 2 };
const COST: StoredCost = { ...FORMER, sleepMs: null, wakeMs: null };

test('what was written last is read back, by the next gateway too', (t) => {
  const { open } = place(t);
  const database = open();
  writeLearnedCosts(database, { a: COST, gone: COST });
  const costs = { a: { ...COST, startMs: 1200.5, stopMs: null, wakeMs: 800 }, b: { ...COST, sleepMs: 0 } };
  writeLearnedCosts(database, costs);
  assert.deepEqual(readLearnedCosts(database), costs);
  database.close();
  assert.deepEqual(readLearnedCosts(open()), costs);
});

/** The file goes once the database has its costs. */
async function untilGone(file: string): Promise<void> {
  for (let round = 0; existsSync(file) && round < 500; round += 1) await sleep(10);
  assert.ok(!existsSync(file));
}

test('the former file moves into the database once', async (t) => {
  const { former, open } = place(t);
  writeFileSync(former, JSON.stringify({ a: FORMER }));
  const database = open();
  assert.deepEqual(readLearnedCosts(open('read')), { a: COST });
  assert.ok(existsSync(former), 'a reader moves nothing');
  assert.deepEqual(readLearnedCosts(database), { a: COST });
  await untilGone(former);
  assert.deepEqual(readLearnedCosts(database), { a: COST });
});

test('a former file that could not be removed replaces nothing that was learned since', async (t) => {
  const { former, open } = place(t);
  const database = open();
  const newer = { ...COST, startMs: 9 };
  writeLearnedCosts(database, { a: newer });
  writeFileSync(former, JSON.stringify({ a: FORMER, b: FORMER }));
  assert.deepEqual(readLearnedCosts(database), { a: newer, b: COST });
  await untilGone(former);
  assert.deepEqual(readLearnedCosts(database), { a: newer, b: COST });
});

test('K1: of a former file that is cut off or of another shape nothing is known', async (t) => {
  const { former, open } = place(t);
  const database = open();
  const texts = ['{"a": {"sig', 'null', '[]', JSON.stringify({ a: { ...FORMER, startMs: 'soon' } })];
  for (const text of texts) {
    writeFileSync(former, text);
    assert.deepEqual(readLearnedCosts(database), {}, text);
    await untilGone(former);
  }
  writeFileSync(former, JSON.stringify({ a: { ...FORMER, startMs: -1 }, b: FORMER }));
  assert.deepEqual(readLearnedCosts(database), { b: COST });
});
