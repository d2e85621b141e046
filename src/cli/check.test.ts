import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type CheckOptions, runCheck } from './check.ts';

let directory = '';
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gateway-check-'));
});
after(() => rm(directory, { recursive: true }));

async function check(
  options: Partial<CheckOptions>,
): Promise<{ readonly code: number; readonly text: string }> {
  const parts: string[] = [];
  const writer = { write: (text: string) => parts.push(text) };
  const code = await runCheck({ environment: { HOME: directory }, ...options }, writer);
  return { code, text: parts.join('') };
}

async function written(name: string, text: string): Promise<string> {
  const file = join(directory, name);
  await writeFile(file, text, { mode: 0o600 });
  return file;
}

test('tells all faults, a line each, and exits with 1', async () => {
  const file = await written('bad.yaml', 'models:\n  m: {repoo: x, max_num_seqs: 0}\ndefault_model: n\n');
  const { code, text } = await check({ file });
  assert.equal(code, 1);
  const lines = text.trimEnd().split('\n');
  assert.equal(lines.length, 4);
  assert.match(lines[0] ?? '', /bad\.yaml:2:7: models\.m\.repoo: unknown key; .*did you mean `repo`\?$/);
  assert.match(lines[1] ?? '', /bad\.yaml:2:31: models\.m\.max_num_seqs: not acceptable; found 0/);
  assert.match(lines[2] ?? '', /bad\.yaml:3:16: default_model: no such model/);
  assert.equal(lines[3], '3 faults; the gateway would not start.');
});

test('tells what a good configuration means, and exits with 0', async () => {
  const file = await written(
    'good.yaml',
    [
      'server: {api_keys_file: keys, host: 0.0.0.0}',
      'pools: {p: [a, b]}',
      'models:',
      '  m: {repo: org/m, tensor_parallel_size: 2, memory_mib: 5GiB, always_on: true}',
      '  c: {command: [serve, "{socket}"]}',
      '  u: {url: "https://h/v1"}',
      '',
    ].join('\n'),
  );
  await written('keys', 'team: abcdefgh12345678\n');
  const { code, text } = await check({ file });
  assert.equal(code, 0, text);
  assert.deepEqual(text.trimEnd().split('\n'), [
    `${file}: no faults.`,
    'Gateway Configuration: MAX_QUEUE_SIZE=200, MAX_CONCURRENT=50, MAX_MODELS_CONCURRENT=3',
    'HTTP Client Pool: max_connections=150, max_keepalive_connections=150',
    'Listens on 0.0.0.0:9000 (authentication: keys).',
    '3 models:',
    '  m: vllm org/m, 2 devices in pool p, 5120 MiB of each, always on',
    '    tool and reasoning parser: none (auto: the files of the model are not on this machine)',
    '  c: openai serve, 1 device in pool p, whole',
    '  u: https://h',
    '1 API key.',
  ]);
});

test('a faulty file of keys is a fault with its line and without the key', async () => {
  const file = await written('keyed.yaml', 'models: {m: {repo: x}}\nserver: {api_keys_file: short}\n');
  await written('short', '# keys\nabc\n');
  const { code, text } = await check({ file });
  assert.equal(code, 1);
  assert.match(text, /short:2: /);
  assert.ok(!text.includes('abc'));
});

test('shows the whole configuration as JSON on demand', async () => {
  const { code, text } = await check({ show: true });
  assert.equal(code, 0);
  const shown: unknown = JSON.parse(text);
  assert.ok(shown !== null && typeof shown === 'object' && 'models' in shown);
});

test('the demonstration and the environment are checked without a file', async () => {
  const { code, text } = await check({ environment: { GATEWAY_MAX_CONCURRENT: '0' } });
  assert.equal(code, 0);
  assert.match(
    text,
    /^The built-in demonstration: no faults\.\nerror: GATEWAY_MAX_CONCURRENT="0" is not an integer in the range 1\.\.1000; using the default 50\n/,
  );
});
