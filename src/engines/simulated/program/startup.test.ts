import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { startVllmSim } from '../../../../test/fakes/vllm-sim.ts';
import { until } from '../../../../test/fakes/waiting.ts';
import { processStartTime } from '../ledger.ts';

test('the lines of a start come in vLLM’s order with vLLM’s prefixes', async (t) => {
  const sim = startVllmSim(t, {
    loadSeconds: 0.05,
    args: ['--served-model-name', 'a', 'b', '--max-model-len', '4096'],
  });
  await sim.ready();
  await sim.line(/Route: \/inference\/v1\/abort_requests/);
  const expected = [
    /^\(APIServer pid=\d+\) INFO \d\d-\d\d \d\d:\d\d:\d\d \[\S+\.py:\d+\] vLLM API server version 0\.32\.0, serving model acme\/small$/,
    /non-default args: \{'model_tag': 'acme\/small', .*'served_model_name': \['a', 'b'\]/,
    /Resolved architecture: LlamaForCausalLM/,
    /Using max model len 4096/,
    /^\(EngineCore pid=\d+\) INFO .* Initializing a V1 LLM engine \(v0\.32\.0\)/,
    /Starting to load model acme\/small\.\.\./,
    /Loading weights took [\d.]+ seconds/,
    /Model loading took [\d.]+ GiB memory and [\d.]+ seconds/,
    /torch\.compile took [\d.]+ s in total/,
    /Available KV cache memory: [\d.]+ GiB/,
    /CPU KV cache size: [\d,]+ tokens, Maximum concurrency for 4,096 tokens per request: [\d.]+x/,
    /Graph capturing finished in \d+ secs, took 0\.10 GiB/,
    /init engine \(profile, create kv cache, warmup model\) took [\d.]+ s/,
    /Supported tasks: \['generate'\]/,
    /Starting vLLM server on unix:/,
    /Route: \/v1\/chat\/completions, Methods: POST/,
  ];
  let from = 0;
  const stdout = sim.lines.filter((line) => line.startsWith('('));
  for (const pattern of expected) {
    const at = stdout.findIndex((line, index) => index >= from && pattern.test(line));
    assert.ok(at >= from, `no line ${pattern} after line ${from}:\n${stdout.join('\n')}`);
    from = at + 1;
  }
  const bare = sim.lines.filter((line) => !line.startsWith('('));
  assert.match(bare.join('\n'), /Loading safetensors checkpoint shards: {2}25% Completed \| 1\/4/);
  assert.match(bare.join('\n'), /INFO: {5}Application startup complete\./);
});

test('an eager engine compiles and captures nothing', async (t) => {
  const sim = startVllmSim(t, { args: ['--enforce-eager'] });
  await sim.ready();
  assert.doesNotMatch(sim.lines.join('\n'), /torch\.compile|Capturing CUDA graphs/);
});

test('nothing listens before the engine is ready', async (t) => {
  const sim = startVllmSim(t, { args: ['--sim-fault', 'hang@loading'] });
  await sim.line(/Starting to load model/);
  await assert.rejects(sim.request({ path: '/health' }), { code: 'ENOENT' });
});

test('an address in use ends the start at once with code 1', async (t) => {
  const holder = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => holder.once('listening', resolve));
  t.after(() => holder.close());
  const { port } = holder.address() as { port: number };
  const sim = startVllmSim(t, { loadSeconds: 60, args: ['--host', '127.0.0.1', '--port', String(port)] });
  assert.deepEqual(await sim.exit, { code: 1, signal: null });
  assert.match(sim.lines.join('\n'), /OSError: \[Errno 98\] Address already in use/);
});

test('a socket file that was left behind is an address in use', async (t) => {
  const first = startVllmSim(t);
  await first.ready();
  const file = `${first.socketPath}2`;
  writeFileSync(file, '');
  const sim = startVllmSim(t, { args: ['--uds', file] });
  assert.deepEqual(await sim.exit, { code: 1, signal: null });
  assert.ok(existsSync(file));
});

test('an unknown flag is refused as argparse refuses it', async (t) => {
  const sim = startVllmSim(t, { args: ['--no-such-flag', 'x'] });
  assert.deepEqual(await sim.exit, { code: 2, signal: null });
  assert.match(sim.lines.join('\n'), /error: unrecognized arguments: --no-such-flag/);
});

test('a length beyond the model’s own is refused', async (t) => {
  const sim = startVllmSim(t, { args: ['--max-model-len', '9000', '--sim-model-length', '8192'] });
  assert.deepEqual(await sim.exit, { code: 1, signal: null });
  assert.match(
    sim.lines.join('\n'),
    /User-specified max_model_len \(9000\) is greater than the derived max_model_len/,
  );
});

const FAILURES: readonly (readonly [string, RegExp])[] = [
  ['crash@compiling', /RuntimeError: Engine core initialization failed\. See root cause above/],
  ['oom@start', /torch\.OutOfMemoryError: CUDA out of memory\. Tried to allocate/],
  ['fail@start:gated', /You are trying to access a gated repo/],
  ['fail@start:architecture', /Model architectures \['SimulatedForCausalLM'\] are not supported for now/],
  ['fail@start:tool-parser', /KeyError: 'invalid tool call parser/],
  ['fail@start:timeout', /Timed out waiting for engine core processes to start/],
  ['fail@start:repository', /Invalid repository ID or local directory specified/],
  ['fail@start:offline', /We couldn't connect to/],
];

for (const [fault, text] of FAILURES) {
  test(`fault ${fault} ends the start with code 1 and vLLM’s words`, async (t) => {
    const sim = startVllmSim(t, { args: ['--sim-fault', fault] });
    assert.deepEqual(await sim.exit, { code: 1, signal: null });
    assert.match(sim.lines.join('\n'), text);
  });
}

test('files that are missing matter only to whoever may not ask a hub', async (t) => {
  const args = ['--sim-fault', 'fail@start:uncached'];
  const offline = startVllmSim(t, { args, environment: { HF_HUB_OFFLINE: '1' } });
  assert.deepEqual(await offline.exit, { code: 1, signal: null });
  assert.match(offline.lines.join('\n'), /LocalEntryNotFoundError: .* outgoing traffic has been disabled/);
  await startVllmSim(t, { args }).ready();
});

test('a GGUF file with the tokenizer of another repository is served', async (t) => {
  const sim = startVllmSim(t, { model: '/cache/m-Q4_K_M.gguf', args: ['--tokenizer', 'acme/base'] });
  await sim.ready();
  assert.match(sim.lines.join('\n'), /model='\/cache\/m-Q4_K_M\.gguf', tokenizer='acme\/base'/);
});

test('SIGTERM during the start kills by SIGINT and leaves no engine core', async (t) => {
  const sim = startVllmSim(t, { args: ['--sim-fault', 'hang@loading'] });
  const line = await sim.line(/\(EngineCore pid=\d+\)/);
  sim.child.kill('SIGTERM');
  assert.deepEqual(await sim.exit, { code: null, signal: 'SIGINT' });
  const pid = Number(/pid=(\d+)/.exec(line)?.[1]);
  await until('the engine core is gone', () => processStartTime(pid) === null);
});

test('with a fault file only the first start has the fault', async (t) => {
  const file = `${startVllmSim(t).socketPath}-once`;
  const args = ['--sim-fault', 'crash@loading', '--sim-fault-once', file];
  const first = startVllmSim(t, { args });
  assert.equal((await first.exit).code, 1);
  await startVllmSim(t, { args }).ready();
});
