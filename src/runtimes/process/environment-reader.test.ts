import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { createEnvironmentReader } from './environment-reader.ts';

/** A read of a pipe that nobody writes to waits in the kernel, as that of a process that hangs does. */
async function place(t: TestContext, hanging: readonly number[] = []): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'vg-proc-'));
  const pipes = hanging.map((pid) => join(root, String(pid), 'environ'));
  for (const pipe of pipes) {
    await mkdir(join(pipe, '..'));
    await promisify(execFile)('mkfifo', [pipe]);
  }
  t.after(async () => {
    // Whoever opens a pipe for both is not made to wait, and ends the reader's wait.
    for (const pipe of pipes) await (await open(pipe, 'r+')).close();
    await rm(root, { recursive: true });
  });
  return root;
}

async function readable(root: string, pid: number, text: string): Promise<void> {
  await mkdir(join(root, String(pid)));
  await writeFile(join(root, String(pid), 'environ'), text);
}

async function readAll(
  reader: ReturnType<typeof createEnvironmentReader>,
  pids: readonly number[],
): Promise<ReadonlyMap<number, string | null>> {
  const found = new Map<number, string | null>();
  await reader.readAll(
    pids.map((pid) => ({ pid })),
    ({ pid }, environment) => found.set(pid, environment?.toString('latin1') ?? null),
  );
  return found;
}

test('each is read, and one that is gone is told as such', async (t) => {
  const root = await place(t);
  for (const pid of [2, 3, 4, 5, 6]) await readable(root, pid, `A=${pid}`);
  const found = await readAll(createEnvironmentReader(root), [2, 3, 4, 5, 6, 7]);
  assert.deepEqual(
    [2, 3, 4, 5, 6, 7].map((pid) => found.get(pid)),
    ['A=2', 'A=3', 'A=4', 'A=5', 'A=6', null],
  );
});

test('N1: one that hangs does not keep the others back, now and later', { timeout: 20_000 }, async (t) => {
  const root = await place(t, [2]);
  await readable(root, 3, 'A=3');
  const reader = createEnvironmentReader(root);
  for (const _ of [1, 2, 3]) {
    const found = await readAll(reader, [2, 3]);
    assert.deepEqual([found.get(2), found.get(3)], [null, 'A=3']);
  }
});

test('N2: many that hang leave threads for others', { timeout: 20_000 }, async (t) => {
  const root = await place(t, [2, 3]);
  const reader = createEnvironmentReader(root);
  await readAll(reader, [2, 3]);
  await readable(root, 4, 'A=4');
  assert.equal((await readAll(reader, [4])).get(4), null);
  await writeFile(join(root, 'still'), 'written');
});
