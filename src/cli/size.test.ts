import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { publishedConfig } from '../../test/fixtures/model-configs.ts';
import { safetensorsFile, TINY_BYTES, TINY_CONFIG, TINY_TENSORS } from '../../test/fixtures/model-files.ts';
import { runSize, type SizeFlags, sizeOptions } from './size.ts';

let directory = '';
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gateway-size-'));
});
after(() => rm(directory, { recursive: true }));

async function model(name: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  const place = join(directory, name);
  await mkdir(place, { recursive: true });
  for (const [file, content] of Object.entries(files)) await writeFile(join(place, file), content);
  return place;
}

function published(name: string): Promise<string> {
  return model(name, { 'config.json': JSON.stringify(publishedConfig(name)) });
}

async function size(repo: string, flags: Partial<SizeFlags> = {}): Promise<{ code: number; text: string }> {
  const parts: string[] = [];
  const all: SizeFlags = { tp: 1, pp: 1, seqs: 1, kvDtype: 'auto', ...flags };
  const options = sizeOptions(repo, all, { HOME: directory, HF_HUB_OFFLINE: '1' });
  const code = await runSize(options, { write: (text: string) => parts.push(text) });
  return { code, text: parts.join('') };
}

test('tells every part, where the weights come from, and the cache per token and request', async () => {
  const { code, text } = await size(await published('llama-3.1-8b'), { maxModelLen: 8192, seqs: 4 });
  assert.equal(code, 0);
  assert.match(text, /LlamaForCausalLM, 8\.03 billion parameters, bfloat16/);
  assert.match(text, /weights +15\.0 GiB {2}computed from the configuration/);
  assert.match(text, /KV cache +4096 MiB {2}4 sequences of 8192 tokens/);
  assert.match(text, /overhead +\d+ MiB {2}x 1\.1 \+ 1024 MiB/);
  assert.match(text, /total +22378 MiB/);
  assert.match(text, /KV cache per token: 131072 bytes\n/);
});

test('exact weights are told as such', async () => {
  const repo = await model('tiny', {
    'config.json': JSON.stringify(TINY_CONFIG),
    'model.safetensors': safetensorsFile(TINY_TENSORS),
  });
  assert.match((await size(repo)).text, /from safetensors headers/);
  const report: unknown = JSON.parse((await size(repo, { json: true })).text);
  assert.partialDeepStrictEqual(report, {
    weights_from: 'safetensors',
    native_max_model_len: 64,
    per_device: { weights_bytes: TINY_BYTES },
  });
});

test('what does not fit exits with 1 and tells the nearest changes, what fits tells how many sequences', async () => {
  const repo = await published('llama-3.1-8b');
  const tight = await size(repo, { maxModelLen: 32_768, seqs: 2, deviceMib: 24_000 });
  assert.equal(tight.code, 1);
  assert.match(tight.text, /does not fit into 24000 MiB: \d+ MiB are missing\. It would with any of:/);
  assert.match(tight.text, /kv_reservation_seqs: 1 +\d+ MiB/);
  assert.match(tight.text, /max_model_len: \d+ +\d+ MiB/);
  assert.match(tight.text, /--kv-cache-dtype fp8/);
  assert.match(tight.text, /tensor_parallel_size: 2/);
  const roomy = await size(repo, { maxModelLen: 8192, deviceMib: 24_000 });
  assert.equal(roomy.code, 0);
  assert.match(roomy.text, /It fits into 24000 MiB, with room for \d+ such sequences\./);
  const hopeless = await size(await published('deepseek-v3'), { deviceMib: 24_000 });
  assert.match(hopeless.text, /No shorter context and no number of devices up to 16 changes that/);
});

test('faults are one sentence, or JSON', async () => {
  const lacking = await size(await model('lacking', { 'config.json': '{"model_type":"llama"}' }));
  assert.equal(lacking.code, 1);
  assert.match(lacking.text, /`hidden_size` is missing/);
  const offline = await size('owner/model', { json: true });
  assert.match(offline.text, /^\{"error":\{"kind":"offline"/);
  const uneven = await size(await published('qwen2.5-7b'), { tp: 8 });
  assert.match(uneven.text, /28 attention heads cannot be divided evenly among 8 devices\./);
});

test('the command of that name', async () => {
  const repo = await published('gpt-oss-20b');
  const main = new URL('./main.ts', import.meta.url).pathname;
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [main, 'size', repo, ...args], { encoding: 'utf8' });
  const told = run('--tp', '2', '--max-model-len', '32768', '--seqs', '8', '--kv-dtype', 'fp8', '--json');
  assert.equal(told.status, 0, told.stderr);
  assert.partialDeepStrictEqual(JSON.parse(told.stdout), {
    tensor_parallel_size: 2,
    max_model_len: 32_768,
    sequences: 8,
    per_device: { kv_bytes_per_token: 24 * 4 * 128 },
  });
  assert.match(run('--tp', '0').stderr, /whole number from 1/);
  assert.match(run('--kv-dtype', 'fp7').stderr, /fp8_per_token_head/);
});
