import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFaults } from './faults.ts';
import { parseOptions, type SimOptions } from './options.ts';

function accepted(argv: readonly string[], environment: Record<string, string> = {}): SimOptions {
  const result = parseOptions(argv, environment);
  assert.ok(result.ok, result.ok ? '' : result.text);
  return result.options;
}

function refused(...argv: string[]): string {
  const result = parseOptions(argv, {});
  assert.ok(!result.ok, `${argv.join(' ')} was accepted`);
  return /error: (.*)\n$/.exec(result.text)?.[1] ?? '';
}

test('the model is positional, and names follow it unless served names are given', () => {
  assert.deepEqual(accepted(['acme/m']).servedNames, ['acme/m']);
  const options = accepted(['acme/m', '--served-model-name', 'a', 'b', '--port', '9', '--uds', '/s']);
  assert.deepEqual([options.servedNames, options.port, options.socketPath], [['a', 'b'], 9, '/s']);
});

test('flags may have underscores, equals signs, unique abbreviations and short names', () => {
  assert.equal(accepted(['m', '--max_model_len=2k']).maxModelLen, 2000);
  assert.equal(accepted(['m', '--max-model-len', '2K']).maxModelLen, 2048);
  assert.equal(accepted(['m', '--max-model-len', 'auto']).maxModelLen, -1);
  assert.equal(accepted(['m', '--kv-cache-memory=1G']).kvCacheMemoryBytes, 2 ** 30);
  assert.equal(accepted(['m', '-tp', '2']).tensorParallelSize, 2);
  assert.equal(accepted(['m', '--device-memory-utilization', '0.5']).gpuMemoryUtilization, 0.5);
  assert.equal(accepted(['m', '-O0']).enforceEager, true);
  assert.equal(accepted(['m', '-O2']).enforceEager, false);
  assert.equal(accepted(['m', '--enforce-eager', '--no-enforce-eager']).enforceEager, false);
});

test('a key from the command line beats the environment’s', () => {
  assert.deepEqual(accepted(['m'], { VLLM_API_KEY: 'e' }).apiKeys, ['e']);
  assert.deepEqual(accepted(['m', '--api-key', 'a', 'b'], { VLLM_API_KEY: 'e' }).apiKeys, ['a', 'b']);
});

test('the task is guessed from the name, the runner or told', () => {
  assert.equal(accepted(['acme/all-MiniLM-L6-v2']).sim.task, 'embed');
  assert.equal(accepted(['m', '--runner', 'pooling']).sim.task, 'embed');
  assert.equal(accepted(['acme/reranker']).sim.task, 'classify');
  assert.equal(accepted(['m', '--sim-task', 'embed']).sim.task, 'embed');
  assert.equal(accepted(['acme/whisper-small']).sim.task, 'transcription');
  assert.equal(accepted(['acme/llama']).sim.task, 'generate');
});

test('every flag of a realistic command line is known', () => {
  accepted(
    'acme/m --host 127.0.0.1 --port 8000 --dtype bfloat16 --quantization fp8 --tensor-parallel-size 2 --pipeline-parallel-size 1 --max-num-seqs 16 --max-num-batched-tokens 8192 --enable-prefix-caching --enable-lora --lora-modules a=/a b=/b --max-lora-rank 32 --enable-auto-tool-choice --tool-call-parser hermes --reasoning-parser qwen3 --trust-remote-code --download-dir /d --load-format auto --swap-space 4'
      .replace(' --swap-space 4', '')
      .split(' '),
  );
});

const REFUSED: readonly (readonly [string, string])[] = [
  ['m --no-such-flag 1', 'unrecognized arguments: --no-such-flag 1'],
  ['m --port many', "argument --port: invalid int value: 'many'"],
  ['m --port', 'argument --port: expected one argument'],
  ['m --gpu-memory-utilization x', "argument --gpu-memory-utilization: invalid float value: 'x'"],
  [
    'm --sim-task sing',
    "argument --sim-task: invalid choice: 'sing' (choose from generate, embed, classify, transcription)",
  ],
  ['m --sim-fault crash@nowhere', "argument --sim-fault: invalid choice: 'crash@nowhere'"],
];

for (const [line, text] of REFUSED) {
  test(`refused as argparse does: ${line}`, () => assert.equal(refused(...line.split(' ')), text));
}

test('a flag that an older vLLM would not know is refused with its value', () => {
  const flags = ['--sim-refuse-flag', 'kv-cache-memory-bytes', '--sim-refuse-flag=--enable_sleep_mode'];
  assert.equal(
    refused('m', '--enable-sleep-mode', '--kv-cache-memory-bytes', '5', '--seed', '1', ...flags),
    'unrecognized arguments: --enable-sleep-mode --kv-cache-memory-bytes 5',
  );
  assert.ok(parseOptions(['m', '--seed', '1', ...flags], {}).ok);
});

test('faults add up, and arguments may contain colons', () => {
  const result = parseFaults(['crash@request:a:b', 'reset@midstream:7', 'slow-wake', 'hang@profiling']);
  assert.ok(result.ok);
  const { crashOnText, resetAfterChunks, slowWakeS, hangAt } = result.faults;
  assert.deepEqual([crashOnText, resetAfterChunks, slowWakeS, hangAt], ['a:b', 7, 5, 'profiling']);
  const held = parseFaults(['hold@loading:/a:b']);
  assert.ok(held.ok);
  assert.deepEqual(held.faults.holdAt, { phase: 'loading', file: '/a:b' });
  for (const bad of [
    'hold@loading',
    'hold@loading:',
    'hold@x:f',
    'crash@request',
    'reset@midstream:x',
    'fail@start:x',
    'malformed@answer:x',
    '',
  ]) {
    assert.equal(parseFaults([bad]).ok, false, bad);
  }
});
