import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { openStateDatabase, type StateDatabase, type StateDatabaseOptions } from './state-database.ts';
import { StoreThread } from './store-thread.ts';

function place(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'state-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

interface Opened {
  readonly database: StateDatabase;
  readonly notices: readonly string[];
  readonly faults: string[];
}

function open(t: TestContext, directory: string, access: StateDatabaseOptions['access'] = 'own'): Opened {
  const faults: string[] = [];
  const opened = openStateDatabase({ directory, access, onFault: (text) => faults.push(text) });
  assert.ok(opened.ok, opened.ok ? '' : opened.error);
  const { database, notices } = opened.value;
  t.after(() => database.close());
  return { database, notices: notices.map(({ text }) => text), faults };
}

function addFlag(database: StateDatabase, flag: string): Promise<boolean> {
  return database.change('a flag', [
    { sql: 'INSERT INTO refused_flags VALUES (?, ?)', rows: [['vllm', flag]] },
  ]);
}

function flags(database: StateDatabase): unknown[] {
  return database.read('flags', [], (connection) =>
    connection
      .prepare('SELECT flag FROM refused_flags ORDER BY flag')
      .all()
      .map(({ flag }) => flag),
  );
}

test('what was kept is there after closing, and a reader beside the owner sees it', async (t) => {
  const directory = join(place(t), 'new', 'state');
  const { database, notices } = open(t, directory);
  assert.deepEqual([notices, database.kept], [[], true]);
  assert.ok(await addFlag(database, '--a'));
  const beside = open(t, directory, 'read');
  assert.deepEqual(flags(beside.database), ['--a']);
  assert.ok(await addFlag(database, '--b'));
  assert.deepEqual(flags(beside.database), ['--a', '--b']);
  assert.equal(await addFlag(beside.database, '--c'), false);
  assert.match(beside.faults.join(), /^the state database could not keep a flag: .*readonly/);
  database.close();
  database.close();
  assert.deepEqual(flags(open(t, directory).database), ['--a', '--b']);
});

test('D3: the journal is a write-ahead log that is synced at every change', (t) => {
  const { database } = open(t, place(t));
  const pragma = (name: string) =>
    database.read(name, undefined, (connection) =>
      Object.values(connection.prepare(`PRAGMA ${name}`).get() ?? {}),
    );
  assert.deepEqual([pragma('journal_mode'), pragma('synchronous')], [['wal'], [2]]);
});

test('D3: of a change that fails nothing stays', async (t) => {
  const { database, faults } = open(t, place(t));
  const changed = await database.change('two flags', [
    { sql: 'INSERT INTO refused_flags VALUES (?, ?)', rows: [['vllm', '--a']] },
    { sql: 'INSERT INTO refused_flags VALUES (?, ?)', rows: [['vllm', null]] },
  ]);
  assert.equal(changed, false);
  assert.deepEqual(flags(database), []);
  assert.equal(faults.length, 1);
  assert.ok(await addFlag(database, '--b'), 'and the next one works');
});

test('D2: a failure is told once for each kind of access', async (t) => {
  const { database, faults } = open(t, place(t));
  database.close();
  for (let round = 0; round < 3; round += 1) {
    assert.deepEqual(flags(database), []);
    assert.equal(await addFlag(database, '--a'), false);
  }
  assert.deepEqual(faults, [
    'the state database could not read flags: database is not open',
    'the state database could not keep a flag: database is not open',
  ]);
});

test('D4: with a thread the changes are its own, and seen by the next read once they are made', async (t) => {
  const directory = place(t);
  const thread = new StoreThread({ onFault: assert.fail });
  t.after(() => thread.close());
  const faults: string[] = [];
  const options = { directory, access: 'own', thread, onFault: (text: string) => faults.push(text) } as const;
  const opened = openStateDatabase(options);
  assert.ok(opened.ok);
  const { database } = opened.value;
  const changes = ['--a', '--b', '--c'].map((flag) => addFlag(database, flag));
  assert.deepEqual(flags(database), [], 'nothing is written in this thread');
  assert.deepEqual(await Promise.all(changes), [true, true, true]);
  assert.deepEqual(flags(database), ['--a', '--b', '--c']);
  assert.equal(await addFlag(database, '--a'), false);
  assert.match(faults.join(), /^the state database could not keep a flag: UNIQUE constraint failed/);
  const last = addFlag(database, '--d');
  database.close();
  assert.ok(await last, 'what was given before the end is made');
  await thread.close();
  assert.deepEqual(flags(open(t, directory).database), ['--a', '--b', '--c', '--d']);
});

const BROKEN: Readonly<Record<string, (path: string) => void>> = {
  'what is no database': (path) => writeFileSync(path, 'x'.repeat(10_000)),
  'a torn database': (path) => {
    const whole = new DatabaseSync(path);
    whole.exec('CREATE TABLE t (a TEXT); CREATE INDEX i ON t (a)');
    const insert = whole.prepare('INSERT INTO t VALUES (?)');
    for (let row = 0; row < 50; row += 1) insert.run(String(row).repeat(200));
    whole.close();
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.fill(0x5a, bytes.length / 2));
  },
  "somebody else's database": (path) => {
    const foreign = new DatabaseSync(path);
    foreign.exec('CREATE TABLE footprints (a TEXT)');
    foreign.close();
  },
};

for (const [what, write] of Object.entries(BROKEN)) {
  test(`D1: ${what} is set aside and a new one begun`, async (t) => {
    const directory = place(t);
    const path = join(directory, 'state.db');
    write(path);
    const { database, notices } = open(t, directory);
    assert.equal(notices.length, 1);
    assert.match(
      notices.join(),
      /state\.db is broken \(.+\); it is kept as .*state\.db\.broken-1, and what was/,
    );
    assert.ok(existsSync(`${path}.broken-1`));
    assert.ok(await addFlag(database, '--a'));
    database.close();
    assert.deepEqual(open(t, directory).notices, []);
  });
}

test('D1: broken files do not fill the directory', (t) => {
  const directory = place(t);
  for (let round = 0; round < 8; round += 1) {
    writeFileSync(join(directory, 'state.db'), 'x'.repeat(1_000));
    open(t, directory).database.close();
  }
  const kept = readdirSync(directory).filter((name) => name.includes('broken'));
  assert.deepEqual(
    kept.sort(),
    [1, 2, 3, 4, 5].map((count) => `state.db.broken-${count}`),
  );
});

test('D1: the file of a newer gateway is left alone and refused', (t) => {
  const directory = place(t);
  const newer = new DatabaseSync(join(directory, 'state.db'));
  newer.exec('PRAGMA user_version = 77');
  newer.close();
  for (const access of ['own', 'read'] as const) {
    const opened = openStateDatabase({ directory, access, onFault: assert.fail });
    assert.ok(!opened.ok);
    assert.match(
      opened.error,
      /state\.db was written by a newer vllm-gateway \(format 77, and this one knows 2\)/,
    );
  }
  assert.deepEqual(
    readdirSync(directory).filter((name) => name.includes('broken')),
    [],
  );
});

test('D1: a file that somebody holds is neither broken nor empty: the owner waits, then refuses to start', (t) => {
  const directory = place(t);
  open(t, directory).database.close();
  const path = join(directory, 'state.db');
  const holder = new DatabaseSync(path);
  holder.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  const options = { directory, access: 'own', onFault: assert.fail } as const;
  const refused = openStateDatabase({ ...options, openingTimeoutMs: 20 });
  assert.ok(!refused.ok);
  assert.match(
    refused.error,
    /state\.db cannot be read now \(database is locked\), .* would be ended: end what holds it .*, and start again$/,
  );
  holder.close();
  assert.deepEqual(open(t, directory).notices, []);
  assert.deepEqual(
    readdirSync(directory).filter((name) => name.includes('broken')),
    [],
  );
});

test('D1: the owner waits for a tool that has the file for a moment', async (t) => {
  const directory = place(t);
  open(t, directory).database.close();
  const code = `
    const { DatabaseSync } = process.getBuiltinModule('node:sqlite');
    const holder = new DatabaseSync(process.argv[1]);
    holder.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    process.stdout.write('held');
    setTimeout(() => holder.close(), 600);`;
  const holder = spawn(process.execPath, ['-e', code, join(directory, 'state.db')], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(holder.stdout, 'data');
  const { notices, database } = open(t, directory);
  assert.deepEqual([notices, database.kept], [[], true]);
});

test('D1: a file that the disk does not give is refused too', (t) => {
  const directory = place(t);
  mkdirSync(join(directory, 'state.db'));
  const refused = openStateDatabase({ directory, access: 'own', onFault: assert.fail });
  assert.ok(!refused.ok);
  assert.match(refused.error, /cannot be read now \(unable to open database file\).*mend its disk/);
  const beside = openStateDatabase({ directory, access: 'read', onFault: assert.fail });
  assert.ok(beside.ok);
  assert.equal(beside.value.notices.length, 1);
});

test('D1: where no file can be kept, what is learned lives until the end', async (t) => {
  const { database, notices } = open(t, '/dev/null/state');
  assert.equal(database.kept, false);
  assert.match(
    notices.join(),
    /^\/dev\/null\/state\/state\.db cannot be used, so what is learned is lost at the end: /,
  );
  assert.ok(await addFlag(database, '--a'));
  assert.deepEqual(flags(database), ['--a']);
});

test('a reader changes nothing: no file, a broken file, one of an earlier format', (t) => {
  const directory = place(t);
  const none = open(t, directory, 'read');
  assert.deepEqual([none.database.kept, none.notices, readdirSync(directory)], [false, [], []]);
  const path = join(directory, 'state.db');
  writeFileSync(path, 'x'.repeat(1_000));
  const broken = open(t, directory, 'read');
  assert.match(broken.notices.join(), /so nothing that was learned is known: file is not a database/);
  assert.deepEqual([flags(broken.database), readdirSync(directory)], [[], ['state.db']]);
  rmSync(path);
  new DatabaseSync(path).close();
  assert.match(open(t, directory, 'read').notices.join(), /it has format 0, which `serve` will renew/);
});
