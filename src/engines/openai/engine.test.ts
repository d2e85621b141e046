import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contextFixture, modelFixture } from '../engine-fixtures.ts';
import { createOpenAiEngine } from './engine.ts';

const engine = createOpenAiEngine({ PATH: '/bin', SECRET_OF_OURS: 'x' });
const command = ['llama-server', '--port', '{port}', '--alias', '{name}', '-m', '{model}'];

test('a command listens where its placeholders say', () => {
  assert.equal(engine.listensOn(modelFixture({ command })), 'tcp');
  assert.equal(engine.listensOn(modelFixture({ command: ['serve', '--uds={socket}'] })), 'unix');
});

test('a command is launched with its values and a small environment', () => {
  const model = modelFixture({ command, repo: 'm.gguf', servedName: 'llama', environment: { A: '1' } });
  const listen = { kind: 'tcp', host: '127.0.0.1', port: 4001 } as const;
  assert.deepEqual(engine.command(model, contextFixture({ listen })), {
    argv: ['llama-server', '--port', '4001', '--alias', 'llama', '-m', 'm.gguf'],
    environment: {
      PATH: '/bin',
      CUDA_VISIBLE_DEVICES: 'GPU-1',
      PYTHONUNBUFFERED: '1',
      SPT_NOENV: '1',
      A: '1',
    },
    files: [],
  });
});

test('an unknown server is not believed to sleep', async () => {
  const http = { request: () => Promise.reject(new Error('nobody is asked')) };
  const options = { level: 1, timeoutMs: 1_000, signal: new AbortController().signal } as const;
  assert.deepEqual([engine.capabilities.sleepLevels, engine.capabilities.sleepsOn], [[], []]);
  assert.equal((await engine.sleep(http, options)).kind, 'failed');
  assert.equal((await engine.wake(http, options)).kind, 'failed');
  assert.equal(await engine.isAsleep(http, 1_000), false);
  assert.deepEqual(await engine.warmUp(http, modelFixture(), options), { kind: 'done' });
  assert.equal(engine.parseMemory('Model loading took 1.0 GiB memory'), null);
});

test('the end of an unknown server is explained as far as the world agrees on words', () => {
  const diagnose = (code: number, ...lines: string[]) => engine.diagnose({ code, signal: null }, lines);
  assert.equal(diagnose(1, 'ggml: cudaMalloc failed: out of memory').cause, 'out_of_memory');
  assert.equal(diagnose(1, 'listen EADDRINUSE: address already in use 127.0.0.1:1').cause, 'port_taken');
  assert.deepEqual(diagnose(1, 'error: unknown argument: --fly'), {
    cause: 'unknown_flag',
    text: 'the server does not know the argument --fly',
    lastLine: 'error: unknown argument: --fly',
    retryable: false,
  });
  assert.equal(diagnose(3, 'error: bad weather').text, 'exited with code 3: error: bad weather');
});
