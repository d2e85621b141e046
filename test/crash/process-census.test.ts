/** The census finds what carries the mark, its helpers, and nobody else; the store is read as it stands in the file. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { until } from '../fixtures/gateway.ts';
import { doubles, orphans } from './checks.ts';
import { isAlive, processCensus } from './process-census.ts';
import { readStoredLaunches } from './stored-launches.ts';

/** Waits beside a helper that has lost the launch id, as a program does that cleans its environment. */
const WITH_HELPER = `
require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { env: {}, stdio: 'ignore' });
setInterval(() => {}, 1000);`;

function fakeEngine(directory: string, mark: string, launchId: string, model: string) {
  return spawn(
    process.execPath,
    ['-e', WITH_HELPER, '--', '--served-model-name', model, '--uds', '/nowhere'],
    {
      env: { VLLM_GATEWAY_LAUNCH_ID: launchId, MARK: mark },
      cwd: directory,
      detached: true,
      stdio: 'ignore',
    },
  );
}

test('a fake engine beside the store is found as an orphan, one with a foreign mark is not seen', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cr-'));
  const census = processCensus(`MARK=${directory}`);
  const ours = fakeEngine(directory, directory, 'a-1', 'm');
  const foreign = fakeEngine(directory, `${directory}/elsewhere`, 'b-1', 'm');
  try {
    const found = await until('both processes of ours', async () => {
      const { engines } = await census.look();
      return engines[0]?.pids.length === 2 ? engines : null;
    });
    const [engine] = found;
    assert.equal(found.length, 1);
    assert.equal(engine?.model, 'm');
    assert.equal(engine?.socketPath, '/nowhere');
    assert.match(engine?.identity ?? '', new RegExp(`^${ours.pid}:\\d+$`));
    assert.equal(await census.ask(found[0] ?? assert.fail()), 'silent');
    assert.equal(orphans({ engines: found, stored: [], remnants: [] }, new Set()).length, 1);
    const stored = [{ launchId: 'a-1', model: 'm', stage: 'serving', isFindable: true }];
    assert.deepEqual(orphans({ engines: found, stored, remnants: [] }, new Set()), []);
    assert.deepEqual(doubles({ engines: found, stored, remnants: [] }, new Set()), []);
    await census.endAll();
    await until('ours is gone', async () => (await census.look()).engines.length === 0);
    assert.ok(isAlive(foreign.pid ?? 0));
  } finally {
    await census.endAll();
    const ended = once(foreign, 'exit');
    process.kill(-(foreign.pid ?? 0), 'SIGKILL');
    await ended;
    rmSync(directory, { recursive: true, force: true });
  }
});

test('the store is read from its file, also while somebody writes there', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cr-'));
  try {
    assert.deepEqual(readStoredLaunches(directory), []);
    const database = new DatabaseSync(join(directory, 'state.db'));
    database.exec('PRAGMA journal_mode = WAL');
    assert.deepEqual(readStoredLaunches(directory), [], 'its tables are not there yet');
    database.exec('CREATE TABLE launches (launch_id TEXT, model TEXT, stage TEXT, record TEXT)');
    const insert = database.prepare('INSERT INTO launches VALUES (?, ?, ?, ?)');
    insert.run('a-1', 'm', 'serving', JSON.stringify({ process: { pid: 7 }, container: null }));
    insert.run('b-1', 'n', 'starting', JSON.stringify({ process: null, container: null }));
    database.exec("BEGIN; UPDATE launches SET stage = 'stopping'");
    assert.deepEqual(readStoredLaunches(directory), [
      { launchId: 'a-1', model: 'm', stage: 'serving', isFindable: true },
      { launchId: 'b-1', model: 'n', stage: 'starting', isFindable: false },
    ]);
    database.exec('COMMIT');
    assert.deepEqual(
      readStoredLaunches(directory).map(({ stage }) => stage),
      ['stopping', 'stopping'],
    );
    database.close();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
