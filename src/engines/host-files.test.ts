import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { after, before, test } from 'node:test';
import type { LaunchSource } from './engine.ts';
import { contextFixture, modelFixture } from './engine-fixtures.ts';
import { hostFiles, modelArgument } from './host-files.ts';

let here = '';
before(async () => {
  here = await mkdtemp(join(tmpdir(), 'files-'));
  await mkdir(join(here, 'model'));
  for (const name of ['chat.jinja', 'a', 'b', 'draft']) await writeFile(join(here, name), '');
});
after(() => rm(here, { recursive: true }));

const GGUF: LaunchSource = {
  model: '/cache/m.gguf',
  tokenizer: 'acme/base',
  isComplete: true,
  files: ['/data/m'],
};

function filesOf(repo: string | null, words: readonly string[] = [], source: LaunchSource | null = null) {
  return hostFiles(modelFixture({ repo }), { source, sharesHost: true }, words).map((path) =>
    relative(here, path),
  );
}

test('the argument is what was fetched, else what is configured, and in a container a whole path', () => {
  const argument = (repo: string | null, source: LaunchSource | null, sharesHost: boolean) =>
    modelArgument(modelFixture({ repo }), contextFixture({ source, sharesHost }));
  assert.equal(argument('acme/m:Q4_K_M', GGUF, false), '/cache/m.gguf');
  assert.equal(argument('acme/m', null, false), 'acme/m');
  assert.equal(argument(null, null, true), null);
  const path = relative(process.cwd(), join(here, 'model'));
  assert.equal(argument(path, null, true), path);
  assert.equal(argument(path, null, false), join(here, 'model'));
});

test('a model on this disk is a file of this host, one of the hub or of an image is none', () => {
  assert.deepEqual(filesOf(join(here, 'model')), ['model']);
  assert.deepEqual(filesOf('acme/small'), []);
  assert.deepEqual(filesOf('/only/in/the/image'), []);
  assert.deepEqual(filesOf(null), []);
});

test('of a source its own files count', () => {
  const filesIn = (source: LaunchSource, sharesHost: boolean) =>
    hostFiles(modelFixture({ repo: join(here, 'model') }), { source, sharesHost }, []);
  assert.deepEqual(filesIn(GGUF, true), ['/data/m']);
  // A container needs the file at its path, and each part of a split one.
  assert.deepEqual(filesIn(GGUF, false), ['/data/m', '/cache/m.gguf']);
  assert.deepEqual(filesIn({ ...GGUF, files: [], model: '/c/m-00001-of-00002.gguf' }, false), [
    '/c/m-00001-of-00002.gguf',
    '/c/m-00002-of-00002.gguf',
  ]);
  assert.deepEqual(filesIn({ ...GGUF, files: [], model: 'acme/m' }, false), []);
});

test('paths in the values of flags that take paths are files of this host where they are there', () => {
  const path = (name: string): string => join(here, name);
  assert.deepEqual(filesOf('acme/m', ['--chat-template', path('chat.jinja')]), ['chat.jinja']);
  assert.deepEqual(filesOf('acme/m', [`--chat_template=${path('chat.jinja')}`]), ['chat.jinja']);
  assert.deepEqual(filesOf('acme/m', ['--tokenizer', path('model'), '--seed', '1']), ['model']);
  assert.deepEqual(
    filesOf('acme/m', [
      '--lora-modules',
      `one=${path('a')}`,
      `{"name": "two", "path": "${path('b')}"}`,
      'c=acme/c',
    ]),
    ['a', 'b'],
  );
  assert.deepEqual(filesOf('acme/m', ['--speculative-config', `{"model":"${path('draft')}"}`]), ['draft']);
  assert.deepEqual(filesOf('acme/m', ['--chat-template', path('absent.jinja')]), []);
  assert.deepEqual(filesOf('acme/m', ['--root-path', path('a'), '--tokenizer', '/']), []);
});
