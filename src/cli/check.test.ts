import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { publishedConfig } from '../../test/fixtures/model-configs.ts';
import { qwenThinker } from '../../test/fixtures/talking-models.ts';
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

test('tells all addresses, and tries certificate and key', async () => {
  const pem = (name: string) => fileURLToPath(new URL(`../../test/fixtures/tls/${name}`, import.meta.url));
  const server = {
    host: '::1',
    socket: 'g.sock',
    tls_cert: pem('localhost.crt'),
    tls_key: pem('localhost.key'),
  };
  const models = { u: { url: 'http://h' } };
  const good = await written('tls.yaml', JSON.stringify({ server, models }));
  const { code, text } = await check({ file: good });
  assert.equal(code, 0, text);
  const socket = join(dirname(good), 'g.sock');
  assert.ok(
    text.includes(`Listens on [::1]:9000 with TLS and unix:${socket} (authentication: loopback).`),
    text,
  );
  const swapped = { ...server, tls_key: server.tls_cert, socket: 'x'.repeat(108) };
  const bad = await check({
    file: await written('tls-bad.yaml', JSON.stringify({ server: swapped, models })),
  });
  assert.equal(bad.code, 1);
  assert.match(bad.text, /^server\.socket: .* is too long for a Unix socket/m);
  assert.match(bad.text, /^server\.tls_key: .* holds no private key that can be used/m);
});

test('tells how models share devices and sleep where that is not the usual way', async () => {
  const file = await written(
    'shares.yaml',
    [
      'defaults: {sleep: level_2}',
      'models:',
      '  a: {repo: x, colocate: true}',
      '  b: {repo: x, memory_mib: 1GiB, colocate: true, sleep: off}',
      '  c: {repo: x, sleep: auto}',
      '  o: {command: [serve, "{port}"]}',
      '  u: {url: "http://h"}',
      '',
    ].join('\n'),
  );
  const models = async (environment: Record<string, string>) => {
    const { text } = await check({ file, environment: { HOME: directory, ...environment } });
    return text.split('\n').filter((line) => /^ {2}\S/.test(line));
  };
  assert.deepEqual(await models({}), [
    '  a: vllm x, 1 device, sized by the gateway, colocated, sleeps at level 2',
    '  b: vllm x, 1 device, 1024 MiB of each, colocated, never sleeps',
    '  c: vllm x, 1 device, whole',
    '  o: openai serve, 1 device, whole',
    '  u: http://h',
  ]);
  const budget = await models({ PLACEMENT_MODE: 'budget', VLLM_MAX_MODEL_LEN_GLOBAL: '4096' });
  assert.equal(budget[2], '  c: vllm x, 1 device, sized by the gateway');
});

test('tells the parsers that the files on this machine and the installed vLLM come to', async () => {
  const repo = join(directory, 'thinker');
  const executable = await qwenThinker(directory, repo);
  const file = await written(
    'parsers.yaml',
    [
      'models:',
      `  m: {repo: ${repo}, vllm_executable: [${executable}]}`,
      `  n: {repo: ${repo}, vllm_executable: [${executable}], tool_parser: mine, reasoning_parser: off}`,
      '',
    ].join('\n'),
  );
  const { text } = await check({ file });
  assert.deepEqual(
    text.split('\n').filter((line) => line.startsWith('    ')),
    [
      '    tool parser: hermes (auto: Qwen3ForCausalLM); reasoning parser: qwen3 (auto: Qwen3ForCausalLM)',
      '    tool parser: mine (configured); reasoning parser: none (off)',
    ],
  );
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
    /^The built-in demonstration: no faults that stop the start, but 1 error:\nerror: GATEWAY_MAX_CONCURRENT="0" is not an integer in the range 1\.\.1000; using the default 50\n/,
  );
});

test('R2: a lenient integer is listed along with the faults that stop the start', async () => {
  const { code, text } = await check({ environment: { GATEWAY_MAX_CONCURRENT: '0', PLACEMENT_MODE: 'x' } });
  assert.equal(code, 1);
  const lines = text.trimEnd().split('\n');
  assert.equal(
    lines[0],
    'environment GATEWAY_MAX_CONCURRENT: not an integer in the range; by itself it would fall back to the default 50; found "0"; allowed: 1..1000',
  );
  assert.match(lines[1] ?? '', /^environment PLACEMENT_MODE: .*found "x"; allowed: .*budget/);
  assert.equal(lines[2], '2 faults; the gateway would not start.');
});

test('a model that can never fit is told first, with its numbers and the remedy', async () => {
  const file = await written(
    'huge.yaml',
    [
      'devices: {simulated: [{id: a, memory_mib: 24GiB}, {id: b, memory_mib: 8GiB}], budget_fraction: 0.9}',
      'models:',
      '  small: {engine: simulated, memory_mib: 20GiB}',
      '  huge: {engine: simulated, memory_mib: 30GiB}',
      '',
    ].join('\n'),
  );
  const { code, text } = await check({ file, environment: { GATEWAY_MAX_CONCURENT: '3', GATEWAY_HOST: '' } });
  assert.equal(code, 0);
  const lines = text.split('\n');
  assert.equal(lines[0], `${file}: no faults that stop the start, but 1 error:`);
  assert.equal(
    lines[1],
    'error: Model huge can never start: it reserves 30720 MiB, and the largest device has 22118 MiB to give (budget_fraction 0.9 x 24576 MiB). Lower its memory_mib, or raise devices.budget_fraction or the memory of the device.',
  );
  assert.match(lines[2] ?? '', /^warn: GATEWAY_MAX_CONCURENT is not known/);
});

test('names models that can never fit by their files, without asking a hub', async () => {
  const tiny = join(directory, 'tiny');
  await mkdir(tiny);
  await writeFile(join(tiny, 'config.json'), JSON.stringify(publishedConfig('llama-3.1-8b')));
  const file = await written(
    'unfit.yaml',
    [
      'devices: {source: simulated, simulated: [{id: a, memory_mib: 12GiB}, {id: b, memory_mib: 12GiB}]}',
      'scheduling: {placement_mode: budget}',
      'defaults: {kv_reservation_seqs: 8}',
      'models:',
      `  large: {repo: ${tiny}, max_model_len: 32768}`,
      `  small: {repo: ${tiny}, max_model_len: 1024}`,
      '  unknown: {repo: org/unknown, max_model_len: 1024}',
      '',
    ].join('\n'),
  );
  let asked = 0;
  const hub = createServer((socket) => {
    asked += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve));
  const address = hub.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const environment = { HOME: directory, HF_HUB_OFFLINE: '0', HF_ENDPOINT: `http://127.0.0.1:${port}` };
  const { code, text } = await check({ file, environment });
  hub.close();
  assert.equal(asked, 0);
  assert.equal(code, 0, text);
  const lines = text.split('\n');
  assert.match(lines[0] ?? '', /no faults that stop the start, but 1 error:$/);
  // Half of 8.03 billion parameters x 2 bytes; 128 KiB a token, half, for 8 x 32,768 tokens.
  assert.match(
    lines[1] ?? '',
    /^error: Model large can never start: it needs \d+ MiB on each of 2 devices .*\(weights 7659, KV cache 16384 .*\), and the devices can give 11673 MiB; it would fit with /,
  );
  assert.equal(lines.filter((line) => line.startsWith('error:') || line.startsWith('warn:')).length, 1);
});

test('tells where engines run in containers, and why models there do not sleep', async () => {
  const file = await written(
    'containers.yaml',
    [
      'runtime: {kind: docker, docker: {image: "vllm/vllm-openai:v1", reach: port}}',
      'models:',
      '  a: {repo: x}',
      '  b: {repo: x, sleep: off}',
      '  c: {command: [serve, "{port}"], image: "own:1"}',
      '  d: {repo: x, sleep: level_2}',
      '',
    ].join('\n'),
  );
  const { code, text } = await check({ file });
  assert.equal(code, 0, text);
  assert.match(text, /^ {2}d: vllm x, 1 device, whole, never sleeps$/m);
  assert.match(text, /^warn: a, d: stopped instead of put to sleep\. .*reach: port.*Say `reach: auto`/m);
  assert.match(
    text,
    /^Engines run in containers of unix:\/\/\/var\/run\/docker\.sock: vllm\/vllm-openai:v1, own:1\.$/m,
  );
  const open = await written('open.yaml', 'runtime: {kind: docker}\nmodels: {a: {repo: x}}\n');
  assert.doesNotMatch((await check({ file: open })).text, /warn:/);
});
