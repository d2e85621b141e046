import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { contextFixture, modelFixture } from '../engine-fixtures.ts';
import { createSimulatedEngine } from './engine.ts';
import { parseOptions } from './program/options.ts';

const engine = createSimulatedEngine({ PATH: '/bin' });

test('it is run by our own Node, and its command line is one that vllm-sim takes', () => {
  const model = modelFixture({ engine: 'simulated', vllm: { extraArgs: ['--sim-load-seconds', '0.2'] } });
  const { argv } = engine.command(model, contextFixture({ deviceSource: 'simulated', deviceIds: ['sim-0'] }));
  const [node, program, command, ...rest] = argv;
  assert.equal(node, process.execPath);
  assert.ok(existsSync(program ?? ''));
  assert.equal(command, 'serve');
  const parsed = parseOptions(rest, {});
  assert.ok(parsed.ok, parsed.ok ? '' : parsed.text);
  assert.equal(parsed.options.model, 'acme/small');
  assert.deepEqual(parsed.options.servedNames, ['small']);
  assert.equal(parsed.options.gpuMemoryUtilization, 0.25);
  assert.equal(parsed.options.sim.loadS, 0.2);
});

test('in a container it is the program of the image', () => {
  const context = contextFixture({ deviceSource: 'simulated', deviceIds: ['sim-0'], sharesHost: false });
  const { argv, environment } = engine.command(modelFixture({ engine: 'simulated' }), context);
  assert.deepEqual(argv.slice(0, 2), ['vllm-sim', 'serve']);
  assert.equal(environment['PATH'], undefined);
  assert.equal(environment['CUDA_VISIBLE_DEVICES'], 'sim-0');
});
