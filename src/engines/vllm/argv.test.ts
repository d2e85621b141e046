import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LaunchContext } from '../engine.ts';
import { contextFixture, modelFixture } from '../engine-fixtures.ts';
import { type Installation, utilization, vllmArgv } from './argv.ts';

const NO_PARSERS: Installation = {
  executable: ['vllm'],
  parsers: () => ({ tool: null, reasoning: null }),
  version: () => null,
  contextMib: 0,
};

test('a plain model is served under its name, on its socket, within its reservation', () => {
  assert.deepEqual(vllmArgv(modelFixture(), contextFixture(), NO_PARSERS), [
    'vllm',
    'serve',
    'acme/small',
    '--served-model-name',
    'small',
    '--uds',
    '/run/e/abc.sock',
    '--max-num-seqs',
    '16',
    '--gpu-memory-utilization',
    '0.25',
  ]);
});

test('every option becomes its flag, and a TCP address host and port', () => {
  const model = modelFixture({
    servedName: 'behind',
    vllm: {
      maxModelLen: 4096,
      maxNumSeqs: 0,
      quantization: 'awq',
      dtype: 'half',
      enforceEager: true,
      extraArgs: ['--enable-prefix-caching', '--seed', '7'],
    },
  });
  const argv = vllmArgv(
    model,
    contextFixture({
      listen: { kind: 'tcp', host: '127.0.0.1', port: 9123 },
      deviceIds: ['GPU-1', 'GPU-2'],
      kvCacheBytes: 1_073_741_824,
      sleepMode: true,
    }),
    { ...NO_PARSERS, executable: ['python3', '-m', 'wrapper'] },
  );
  assert.deepEqual(argv, [
    ...['python3', '-m', 'wrapper', 'serve', 'acme/small', '--served-model-name', 'behind'],
    ...['--host', '127.0.0.1', '--port', '9123', '--max-model-len', '4096', '--tensor-parallel-size', '2'],
    ...['--quantization', 'awq', '--dtype', 'half', '--gpu-memory-utilization', '0.25'],
    ...['--kv-cache-memory-bytes', '1073741824', '--enable-sleep-mode', '--enforce-eager'],
    ...['--enable-prefix-caching', '--seed', '7'],
  ]);
});

test('host memory gets no GPU flag', () => {
  const argv = vllmArgv(modelFixture(), contextFixture({ deviceSource: 'host', deviceIds: [] }), NO_PARSERS);
  assert.ok(!argv.includes('--gpu-memory-utilization'));
});

for (const [extraArgs, dropped] of [
  [['--max-num-seqs', '4'], '--max-num-seqs'],
  [['--max_num_seqs=4'], '--max-num-seqs'],
  [['--no-enforce-eager'], '--enforce-eager'],
  [['-tp', '4'], '--tensor-parallel-size'],
  [['-q', 'fp8'], '--quantization'],
  [['--device-memory-utilization', '0.5'], '--gpu-memory-utilization'],
  [['--kv_cache_memory_bytes', '4G'], '--kv-cache-memory-bytes'],
  [['--no-enable-sleep-mode'], '--enable-sleep-mode'],
] as const) {
  test(`extra_args ${extraArgs.join(' ')} replace our ${dropped}`, () => {
    const model = modelFixture({
      vllm: { enforceEager: true, quantization: 'awq', extraArgs },
    });
    const context = contextFixture({ deviceIds: ['a', 'b'], kvCacheBytes: 1, sleepMode: true });
    const argv = vllmArgv(model, context, NO_PARSERS);
    const generated = argv.slice(0, -extraArgs.length);
    assert.ok(!generated.includes(dropped), argv.join(' '));
    assert.deepEqual(argv.slice(-extraArgs.length), extraArgs);
  });
}

test('extra_args cannot move an engine away from where the gateway looks for it', () => {
  const argv = vllmArgv(
    modelFixture({ vllm: { extraArgs: ['--port', '8000'] } }),
    contextFixture(),
    NO_PARSERS,
  );
  assert.ok(argv.includes('--uds'));
});

test('the ranks are the devices that it got, on the host those that are configured', () => {
  const ranks = (
    deviceIds: readonly string[],
    deviceSource: LaunchContext['deviceSource'],
  ): string | undefined => {
    const model = modelFixture({ vllm: { tensorParallelSize: 2 } });
    const argv = vllmArgv(model, contextFixture({ deviceIds, deviceSource }), NO_PARSERS);
    return argv[argv.indexOf('--tensor-parallel-size') + 1];
  };
  assert.equal(ranks(['a', 'b', 'c', 'd'], 'nvidia'), '4');
  assert.equal(ranks([], 'host'), '2');
  const alone = vllmArgv(modelFixture({ vllm: { tensorParallelSize: 2 } }), contextFixture(), NO_PARSERS);
  assert.ok(!alone.includes('--tensor-parallel-size'));
});

test('flags are left out that the launch must do without, or that this vLLM is too old for', () => {
  const generated = (version: string | null, ...withoutFlags: readonly string[]): string => {
    const context = contextFixture({ kvCacheBytes: 1, sleepMode: true, withoutFlags: new Set(withoutFlags) });
    return vllmArgv(modelFixture(), context, { ...NO_PARSERS, version: () => version, contextMib: 0 })
      .filter((word) => ['--uds', '--kv-cache-memory-bytes', '--enable-sleep-mode'].includes(word))
      .join(' ');
  };
  const all = '--uds --kv-cache-memory-bytes --enable-sleep-mode';
  assert.equal(generated(null), all);
  assert.equal(generated('0.32.0+cpu'), all);
  assert.equal(generated('0.10.1'), '--uds --enable-sleep-mode');
  assert.equal(generated('0.8.2'), '--uds');
  assert.equal(generated(null, '--enable-sleep-mode', '--uds'), '--uds --kv-cache-memory-bytes');
});

const BOTH: Installation = { ...NO_PARSERS, parsers: () => ({ tool: 'hermes', reasoning: 'qwen3' }) };

test('parsers become their flags, unless extra_args have them', () => {
  const flagsWith = (extraArgs: readonly string[]): string =>
    vllmArgv(modelFixture({ vllm: { extraArgs } }), contextFixture({ deviceSource: 'host' }), BOTH)
      .slice(9)
      .join(' ');
  assert.equal(flagsWith([]), '--enable-auto-tool-choice --tool-call-parser hermes --reasoning-parser qwen3');
  assert.equal(
    flagsWith(['--tool_call_parser=xlam', '--reasoning-parser', 'r']),
    '--enable-auto-tool-choice --tool_call_parser=xlam --reasoning-parser r',
  );
  assert.equal(
    flagsWith(['--no-enable-auto-tool-choice']),
    '--tool-call-parser hermes --reasoning-parser qwen3 --no-enable-auto-tool-choice',
  );
});

test('what was fetched is served under the same name, with the tokenizer that its files lack', () => {
  const source = { model: '/cache/q4.gguf', tokenizer: 'acme/base', isComplete: true, files: [] };
  const model = (extraArgs: readonly string[]) =>
    modelFixture({ repo: 'acme/q-GGUF:Q4_K_M', vllm: { extraArgs } });
  const argv = vllmArgv(model([]), contextFixture({ source }), NO_PARSERS);
  assert.deepEqual(argv.slice(0, 5), ['vllm', 'serve', '/cache/q4.gguf', '--served-model-name', 'small']);
  assert.equal(argv[argv.indexOf('--tokenizer') + 1], 'acme/base');
  const own = vllmArgv(model(['--tokenizer=mine']), contextFixture({ source }), NO_PARSERS);
  assert.deepEqual(
    own.filter((word) => word.startsWith('--tokenizer')),
    ['--tokenizer=mine'],
  );
  const complete = { ...source, model: 'acme/small', tokenizer: null };
  assert.ok(!vllmArgv(model([]), contextFixture({ source: complete }), NO_PARSERS).includes('--tokenizer'));
  const command = ['run.sh', '{model}'];
  const filled = vllmArgv(modelFixture({ command }), contextFixture({ source }), NO_PARSERS);
  assert.deepEqual(filled, ['run.sh', '/cache/q4.gguf']);
});

test('a command of its own is filled in and nothing is added', () => {
  const command = ['run.sh', '--listen={socket}', '{name}', '{model}', '{"a":{"b":1}}', '{port}'];
  assert.deepEqual(vllmArgv(modelFixture({ command }), contextFixture(), NO_PARSERS), [
    'run.sh',
    '--listen=/run/e/abc.sock',
    'small',
    'acme/small',
    '{"a":{"b":1}}',
    '{port}',
  ]);
});

test('utilisation is the reservation, rounded down, and never above the configured one for whole devices', () => {
  const of = (
    memoryMibPerDevice: number,
    deviceMemoryMib: number,
    reserved: number | null,
    kvCacheBytes: number | null = null,
  ): number =>
    utilization(modelFixture({ need: { deviceCount: 1, pool: null, memoryMibPerDevice: reserved } }), {
      memoryMibPerDevice,
      deviceMemoryMib,
      kvCacheBytes,
    });
  assert.equal(of(1000, 3000, 1000), 0.3333);
  assert.equal(of(0.9 * 24_564, 24_564, 22_107), 0.9);
  assert.equal(of(23_000, 24_000, 23_000), 0.9583);
  assert.equal(of(23_000, 24_000, null), 0.9);
  assert.equal(of(23_000, 24_000, null, 1), 0.9583);
  assert.equal(of(12_000, 24_000, null), 0.5);
  assert.equal(of(30_000, 24_000, 30_000), 1);
});
