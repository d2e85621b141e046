import assert from 'node:assert/strict';
import { test } from 'node:test';
import { modelFixture } from '../engines/engine-fixtures.ts';
import { launchWords } from './launch-words.ts';
import { fetchedModel, withArguments } from './weights-fetcher.fixture.ts';

function wordsOf(...args: string[]) {
  return launchWords(fetchedModel(withArguments(...args)));
}

test('flags in all their spellings; the last one counts', () => {
  assert.equal(wordsOf('--revision', 'v1', '--revision=v2').revision, 'v2');
  assert.equal(wordsOf('--tokenizer_revision', 'v3').tokenizerRevision, 'v3');
  assert.equal(wordsOf('--hf-config-path', 'acme/config').configRepo, 'acme/config');
  assert.equal(wordsOf().format, 'auto');
  assert.equal(wordsOf('--load-format', 'tensorizer').format, null);
  assert.equal(wordsOf('--load-format=dummy').format, 'none');
  assert.equal(wordsOf('--trust-remote-code', '--code-revision', 'c').codeRevision, 'c');
  assert.ok(wordsOf('--trust-remote-code').trustsRemoteCode && !wordsOf().trustsRemoteCode);
  assert.ok(wordsOf('--config', 'more.yaml').hasConfigFile);
});

test('adapters and a draft', () => {
  const configured = modelFixture({ adapters: { poet: 'acme/poet' } });
  assert.deepEqual(launchWords(configured).adapters, ['acme/poet']);
  assert.deepEqual(
    wordsOf(
      '--lora-modules',
      'a=acme/a',
      '{"name": "b", "path": "acme/b"}',
      '--enable-lora',
      '--lora-modules=c=acme/c',
    ).adapters,
    ['acme/a', 'acme/b', 'acme/c'],
  );
  assert.equal(
    wordsOf('--speculative-config', '{"method": "eagle3", "model": "acme/draft"}').draft,
    'acme/draft',
  );
  assert.equal(wordsOf('--speculative-config', '{"model": "ngram"}').draft, null);
  assert.equal(wordsOf('--speculative-config.model', 'acme/draft').draft, 'acme/draft');
  assert.equal(wordsOf('--speculative-config', 'no json').draft, null);
});
