import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { smallDisk } from '../../store/small-disk-fixtures.ts';
import { openStateDirectory } from './state-directory.ts';

async function place(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'vg-'));
  t.after(() => rm(directory, { recursive: true }));
  return directory;
}

const LONG = 'x'.repeat(100);

test('sockets lie beside the records where their path is short enough, and elsewhere where not', async (t) => {
  const root = await place(t);
  assert.equal((await openStateDirectory(root, root)).socketPath('a-1'), join(root, 's', 'a-1.sock'));
  const deep = await openStateDirectory(join(root, LONG), root);
  assert.match(deep.socketPath('a-1'), /\/vllm-gateway-\d+-[0-9a-f]{8}\/a-1\.sock$/);
  // Two gateways of one user do not share a directory.
  const other = await openStateDirectory(join(root, `${LONG}y`), root);
  assert.notEqual(deep.socketPath('a-1'), other.socketPath('a-1'));
});

test('no place for a socket is an error that says what to change', async (t) => {
  const root = await place(t);
  const path = join(root, LONG);
  await assert.rejects(openStateDirectory(path, path), /choose a shorter runtime\.state_directory/);
});

test('a file in the place of a directory is refused', async (t) => {
  const root = await place(t);
  await writeFile(join(root, 'f'), '');
  await assert.rejects(openStateDirectory(join(root, 'f')), /ENOTDIR|not a directory/);
});

test('where nothing can be written, the true reason and the remedy are told', async (t) => {
  const told = /cannot be written \((?:EROFS|ENOENT|EACCES)\).*`runtime\.state_directory`/;
  if (existsSync('/proc/self'))
    // Node's own way of making directories never comes back from here.
    await assert.rejects(openStateDirectory('/proc/nope/state'), told);
  const disk = smallDisk(t, 64);
  if (disk === null) return t.skip('needs the right to mount a tmpfs');
  await openStateDirectory(join(disk, 'old'));
  execFileSync('mount', ['-o', 'remount,ro', disk]);
  await assert.rejects(openStateDirectory(join(disk, 'new', 'state')), /cannot be written \(EROFS\)/);
  await assert.rejects(openStateDirectory(join(disk, 'old')), /cannot be written \(EROFS\)/);
});

test('a link to a directory of ours is followed', async (t) => {
  const root = await place(t);
  await mkdir(join(root, 'real'));
  await symlink(join(root, 'real'), join(root, 'link'));
  await openStateDirectory(join(root, 'link'));
  assert.ok((await readdir(join(root, 'real'))).includes('output'));
});

test('the oldest outputs are removed beyond the limit, a living engine’s never', async (t) => {
  const root = await place(t);
  const state = await openStateDirectory(root);
  for (let index = 0; index < 60; index += 1) {
    const path = state.outputPath(`o-${index}`);
    await writeFile(path, '');
    await utimes(path, 1000 + index, 1000 + index);
  }
  await writeFile(`${state.outputPath('o-1')}.1`, '');
  await state.pruneOutputs(new Set(['o-0']));
  const left = await readdir(join(root, 'output'));
  assert.equal(left.length, 51);
  assert.ok(left.includes('o-0.log') && left.includes('o-59.log') && !left.includes('o-1.log.1'));
});

test('only launches count among the sockets', async (t) => {
  const root = await place(t);
  const state = await openStateDirectory(root);
  await writeFile(state.socketPath('a-1'), '');
  await writeFile(join(root, 's', 'README'), '');
  assert.deepEqual(await state.socketOwners(), ['a-1']);
});
