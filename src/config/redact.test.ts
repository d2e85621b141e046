import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { formatFault } from './fault.ts';
import { loadConfig } from './load.ts';
import { REDACTED, redacted, redactedArguments } from './redact.ts';

let directory = '';
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gateway-redact-'));
});
after(() => rm(directory, { recursive: true }));

test('no secret of any kind is shown', async () => {
  const file = join(directory, 'models.yaml');
  await writeFile(
    file,
    [
      'models:',
      '  a:',
      '    url: {base: "http://h:1", api_key_env: THE_KEY, headers: {X-Anything: s3cret-header}}',
      '    request_defaults: {metadata: {api_key: s3cret-default}, max_tokens: 5}',
      '  b:',
      '    repo: r',
      '    environment: {HF_TOKEN: s3cret-token, PROXY: "http://user:s3cret-proxy@h", PLAIN: shown}',
      '    extra_args: [--api-key, s3cret-1, s3cret-2, --api-key=s3cret-3, --seed, 7]',
      '  c:',
      '    command: [serve, --hf-token, s3cret-4, --port, "{port}"]',
      'aliases: {x: {model: a, request_defaults: {user_token: s3cret-alias}}}',
      '',
    ].join('\n'),
  );
  const loaded = await loadConfig({
    file,
    environment: { THE_KEY: 's3cret-key', HUGGING_FACE_HUB_TOKEN: 's3cret-hub' },
    overrides: { auth: 'none' },
  });
  assert.ok(loaded.ok, loaded.ok ? '' : loaded.error.map(formatFault).join('\n'));
  const text = JSON.stringify(redacted(loaded.value));
  assert.ok(!text.includes('s3cret'), text);
  for (const shown of ['"PLAIN":"shown"', '"max_tokens":5', '"--seed","7"', '"{port}"', 'http://h:1']) {
    assert.ok(text.includes(shown), shown);
  }
});

test('the values of secret flags are hidden, the flags are not', () => {
  const shown = redactedArguments(['vllm', 'serve', 'r', '--api-key', 'a', 'b', '--x', 'c', '--hf_token=d']);
  assert.deepEqual(shown, [
    'vllm',
    'serve',
    'r',
    '--api-key',
    REDACTED,
    REDACTED,
    '--x',
    'c',
    `--hf_token=${REDACTED}`,
  ]);
});

test('faults never repeat what may be secret', async () => {
  const file = join(directory, 'bad.yaml');
  await writeFile(
    file,
    [
      'server: {api_keys_file: [s3cret]}',
      'models:',
      '  a: {url: {base: "http://user:s3cret@h", headers: {Authorization: [s3cret]}}}',
      '  b: {repo: r, environment: {X: {y: s3cret}}, request_defaults: "s3cret"}',
      '',
    ].join('\n'),
  );
  const loaded = await loadConfig({ file, environment: {} });
  assert.ok(!loaded.ok);
  assert.equal(loaded.error.length, 5);
  assert.ok(!loaded.error.map(formatFault).join('\n').includes('s3cret'));
});
