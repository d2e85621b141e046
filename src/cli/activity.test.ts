import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { activityEntry } from '../../test/fixtures/activity.ts';
import { openActivityLog } from '../store/activity-log.ts';
import { StoreThread } from '../store/store-thread.ts';
import type { ActivityEntry } from '../telemetry/activity.ts';
import { type ActivityOptions, runActivity } from './activity.ts';

const HOUR_MS = 60 * 60_000;

function entry(changes: Partial<ActivityEntry>): ActivityEntry {
  return activityEntry({ clientRequestId: 'req-1', principal: 'alice', model: 'small', ...changes });
}

/** A state directory in which a gateway has kept these. */
async function place(t: TestContext, entries: readonly ActivityEntry[]): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'activity-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const thread = new StoreThread({ onFault: assert.fail });
  const log = openActivityLog({ directory, thread, rowsMax: 1_000, daysMax: 3_000, onFault: assert.fail });
  for (const one of entries) log.add(one);
  await log.close();
  await thread.close();
  return directory;
}

async function run(options: Omit<ActivityOptions, 'environment'>): Promise<{ code: number; text: string }> {
  const parts: string[] = [];
  const output = { write: (text: string) => parts.push(text) };
  const code = await runActivity({ environment: {}, ...options }, output);
  return { code, text: parts.join('') };
}

const ENTRIES = [
  entry({ endedWallMs: Date.now() - 30 * HOUR_MS, clientRequestId: 'yesterday' }),
  entry({ endedWallMs: Date.UTC(2026, 0, 2, 3, 4, 5), clientRequestId: 'january' }),
  entry({
    endedWallMs: Date.now() - 2_000,
    clientRequestId: 'cold',
    waitMs: 42_000,
    load: 'cold',
    attempts: 2,
  }),
  entry({ endedWallMs: Date.now() - 1_000, clientRequestId: 'bad', model: 'large', outcome: 'refused' }),
].map((one) =>
  one.clientRequestId === 'bad' ? { ...one, status: 503, code: 'queue_full', ttfbMs: null } : one,
);

test('lines for people: the newest last, with waits, and what did not end well', async (t) => {
  const stateDirectory = await place(t, ENTRIES);
  const { code, text } = await run({ stateDirectory });
  assert.equal(code, 0);
  const lines = text.split('\n');
  assert.match(lines[0] ?? '', /^ended \(UTC\) +model +status +wait +first byte +in all +what$/);
  assert.match(
    lines[1] ?? '',
    /^2026-01-02 03:04:05 +small +200 +0\.0 s +0\.0 s +0\.2 s {2}chat_completions answered awake january$/,
  );
  assert.match(lines[3] ?? '', / 42\.0 s .* answered cold 2 tries cold$/);
  assert.match(lines[4] ?? '', / large +503 +0\.0 s +- .* refused queue_full awake bad$/);
  assert.equal(lines[6], '4 requests, 1 of them did not end well.');
});

test('questions', async (t) => {
  const stateDirectory = await place(t, ENTRIES);
  const ids = async (options: Partial<ActivityOptions>): Promise<readonly string[]> => {
    const { code, text } = await run({ stateDirectory, json: true, ...options });
    assert.equal(code, 0);
    const { requests } = JSON.parse(text) as {
      readonly requests: readonly { readonly request_id: string }[];
    };
    return requests.map(({ request_id }) => request_id);
  };
  assert.deepEqual(await ids({ model: 'small', since: '2d' }), ['yesterday', 'cold']);
  assert.deepEqual(await ids({ since: '90s' }), ['cold', 'bad']);
  assert.deepEqual(await ids({ since: '1.5h' }), ['cold', 'bad']);
  assert.equal((await ids({ since: '3000d' })).length, 4);
  assert.deepEqual(await ids({ failed: true }), ['bad']);
  assert.deepEqual(await ids({ limit: 1 }), ['bad']);
  assert.deepEqual(await ids({ model: 'nobody' }), []);
  assert.equal((await run({ stateDirectory, model: 'nobody' })).text, 'No such requests.\n');
});

test('JSON has every field, in the units that their names say', async (t) => {
  const stateDirectory = await place(t, ENTRIES.slice(1, 2));
  const { text } = await run({ stateDirectory, json: true });
  const { requests } = JSON.parse(text) as { readonly requests: readonly unknown[] };
  assert.deepEqual(requests, [
    {
      ended: '2026-01-02T03:04:05.000Z',
      request_id: 'january',
      client: null,
      principal: 'alice',
      model: 'small',
      route: 'chat_completions',
      method: 'POST',
      outcome: 'answered',
      status: 200,
      code: null,
      load: 'awake',
      streamed: true,
      wait_ms: 3,
      ttfb_ms: 20,
      duration_ms: 180,
      request_bytes: 100,
      response_bytes: 2_000,
      attempts: 1,
    },
  ]);
});

test('what cannot be asked or read is told, and the exit code says so', async (t) => {
  const stateDirectory = await mkdtemp(join(tmpdir(), 'activity-'));
  t.after(() => rm(stateDirectory, { recursive: true, force: true }));
  const none = await run({ stateDirectory });
  assert.equal(none.code, 1);
  assert.match(none.text, /^no gateway has kept what requests did in /);
  for (const since of ['soon', '-1h', '1y', '0s']) {
    const { code, text } = await run({ stateDirectory, since });
    assert.deepEqual(
      [code, text],
      [1, `--since takes a time such as 90s, 15m, 1h or 7d; found \`${since}\`\n`],
    );
  }
  await writeFile(join(stateDirectory, 'activity.db'), 'x'.repeat(5_000));
  const broken = await run({ stateDirectory, json: true });
  assert.equal(broken.code, 1);
  assert.match(broken.text, /activity\.db cannot be read: file is not a database/);
  const faults = await run({ file: join(stateDirectory, 'missing.yaml') });
  assert.equal(faults.code, 1);
  assert.match(faults.text, /missing\.yaml/);
});

test('the state directory is the one that the configuration names', async (t) => {
  const stateDirectory = await place(t, ENTRIES);
  const file = join(stateDirectory, 'models.yaml');
  const models = { m: { url: 'http://127.0.0.1:1' } };
  await writeFile(file, JSON.stringify({ runtime: { state_directory: stateDirectory }, models }));
  const { code, text } = await run({ file });
  assert.deepEqual([code, text.trimEnd().split('\n').at(-1)], [0, '4 requests, 1 of them did not end well.']);
});
