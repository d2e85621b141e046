import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runGatewayCommand } from '../../test/fixtures/gateway.ts';
import { strayWordText } from './stray-word.ts';

const COMMANDS = ['serve', 'check', 'size'];

test('a misspelt command is told with the nearest one and all the others', () => {
  const text = strayWordText({ word: 'chek', isBehindServe: false, commands: COMMANDS });
  assert.equal(
    text,
    'unknown command `chek`; did you mean `check`? Commands: serve, check, size (vllm-gateway --help)',
  );
});

test('a word that is near to nothing gets no far-fetched proposal', () => {
  const text = strayWordText({ word: 'bogus', isBehindServe: false, commands: COMMANDS });
  assert.equal(text, 'unknown command `bogus`. Commands: serve, check, size (vllm-gateway --help)');
});

for (const isBehindServe of [false, true]) {
  test(`a file ${isBehindServe ? 'behind `serve`' : 'alone'} is answered with the command that serves it`, () => {
    const text = strayWordText({ word: 'models.yaml', isBehindServe, commands: COMMANDS });
    assert.match(text, /\n {2}vllm-gateway serve --config models\.yaml$/);
  });
}

test('the command line refuses stray words, starts nothing and exits with 1', async () => {
  const [bogus, file, behind, types] = await Promise.all([
    runGatewayCommand(['srve', '--port', '0']),
    runGatewayCommand(['models.yaml']),
    runGatewayCommand(['serve', 'bogus']),
    runGatewayCommand(['size', 'x', '--kv-dtype', 'none']),
  ]);
  assert.deepEqual([bogus.code, file.code, behind.code, types.code], [1, 1, 1, 1]);
  assert.match(
    bogus.stderr,
    /^error: unknown command `srve`; did you mean `serve`\? Commands: serve, check, /,
  );
  assert.match(file.stderr, /serve --config models\.yaml\n$/);
  assert.equal(
    behind.stderr,
    'error: `serve` takes no argument; found `bogus` (vllm-gateway serve --help)\n',
  );
  assert.match(types.stderr, /Allowed choices are auto, bfloat16/);
  assert.equal(bogus.stdout, '');
});
