import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { acquireStateLock, heldText, readStateOwner } from './state-lock.ts';

const LOCKING = fileURLToPath(new URL('locking-gateway.fixture.ts', import.meta.url));

async function place(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'vg-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

interface Rival {
  readonly child: ChildProcess;
  /** What it says first: `acquired`, or whom it found. */
  readonly said: string;
}

async function rival(t: TestContext, directory: string): Promise<Rival> {
  const child = spawn(process.execPath, [LOCKING, directory], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, said: said.toString().trim() };
}

async function killed({ child }: Rival): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'close');
}

test('a living owner keeps the lock and is named, in this process and in another', async (t) => {
  const directory = await place(t);
  const first = await acquireStateLock(directory);
  assert.ok(first.kind === 'acquired');
  await first.lock.tellAddress('127.0.0.1:9000');
  const second = await acquireStateLock(directory);
  assert.ok(second.kind === 'held');
  assert.deepEqual([second.owner?.pid, second.owner?.hostName], [process.pid, hostname()]);
  // Opening the file a second time, and closing it again, has not let go of the kernel's lock.
  const { said } = await rival(t, directory);
  assert.equal(said, heldText(directory, second.owner));
  assert.match(
    said,
    new RegExp(`^another gateway \\(pid ${process.pid}, at 127.0.0.1:9000\\) owns the state`),
  );
  assert.deepEqual((await readStateOwner(directory))?.isHeld, true);
  assert.equal((await rival(t, directory)).said, said, 'and looking at it neither');
  assert.deepEqual((await readdir(directory)).sort(), ['owner.json', 'owner.lock']);
  await first.lock.release();
});

test('a released lock is free, and releasing it late takes nothing from its next owner', async (t) => {
  const directory = await place(t);
  const first = await acquireStateLock(directory);
  assert.ok(first.kind === 'acquired');
  await first.lock.release();
  assert.equal(await readStateOwner(directory), null);
  const next = await rival(t, directory);
  assert.equal(next.said, 'acquired');
  await first.lock.release();
  await first.lock.tellAddress('late');
  const owner = await readStateOwner(directory);
  assert.deepEqual([owner?.pid, owner?.isHeld, owner?.address], [next.child.pid, true, null]);
  assert.equal((await acquireStateLock(directory)).kind, 'held');
});

test('the lock of an owner that was killed is free, whatever its file says', async (t) => {
  const directory = await place(t);
  const first = await rival(t, directory);
  assert.equal(first.said, 'acquired');
  await killed(first);
  const owner = await readStateOwner(directory);
  assert.deepEqual([owner?.pid, owner?.isHeld], [first.child.pid, false]);
  await writeFile(join(directory, 'owner.json'), 'torn');
  const second = await rival(t, directory);
  assert.equal(second.said, 'acquired');
  assert.equal(JSON.parse(await readFile(join(directory, 'owner.json'), 'utf8')).pid, second.child.pid);
  // Who cannot be named holds it all the same.
  await writeFile(join(directory, 'owner.json'), 'torn');
  const third = await acquireStateLock(directory);
  assert.deepEqual(third, { kind: 'held', owner: null });
  assert.match(heldText(directory, null), /^another gateway owns the state directory/);
});

test('an owner on another host, or in another container, is named with it', () => {
  const owner = { pid: 1, hostName: 'c0ffee', startedWallMs: 0, address: null };
  assert.match(
    heldText('/s', owner),
    /^another gateway \(pid 1 on c0ffee\) owns the state directory \/s; stop it/,
  );
});

test('of many processes that come in one moment, one becomes the owner; again after its death', async (t) => {
  const directory = await place(t);
  for (let round = 0; round < 2; round += 1) {
    const rivals = await Promise.all(Array.from({ length: 5 }, () => rival(t, directory)));
    const owners = rivals.filter(({ said }) => said === 'acquired');
    assert.equal(owners.length, 1, rivals.map(({ said }) => said).join('\n'));
    for (const owner of owners) await killed(owner);
  }
});

test('those who look do not keep a gateway from starting', async (t) => {
  const directory = await place(t);
  await killed(await rival(t, directory));
  let isOver = false;
  const looking = (async () => {
    while (!isOver) {
      await readStateOwner(directory);
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  for (let round = 0; round < 20; round += 1) {
    const acquired = await acquireStateLock(directory);
    assert.ok(acquired.kind === 'acquired');
    await acquired.lock.release();
  }
  isOver = true;
  await looking;
});
