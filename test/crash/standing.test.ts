import assert from 'node:assert/strict';
import { test } from 'node:test';
import { standingLines, standingOf } from './standing.ts';

test('a line for each model says in what state it is, who waits and what it holds', () => {
  const model = { state: 'awake', phase: 'awake', why: 'it is awake', waiting: 0, running: 1, failure: null };
  const cold = { state: 'cold', phase: 'waiting', why: 'it has to start', waiting: 3, running: 0 };
  const status = {
    models: { a: model, b: { ...cold, failure: 'it died' } },
    active_containers: { a: { gpu_uuids: ['card-0'], vram_footprint: 10_000 } },
    gpus: { 'card-0': { used_mib: 9_500, reserved_mib: 10_000, total_mib: 16_384 } },
  };
  assert.deepEqual(standingLines(status), [
    'a: awake (awake), 0 wait, 1 run, holds 10000 MiB of card-0, it is awake',
    'b: cold (waiting), 3 wait, 0 run, it has to start, failed: it died',
    'card-0: 10000 of 16384 MiB reserved, 9500 used',
  ]);
  assert.deepEqual(standingLines(null), []);
});

test('a gateway that is not there says why', async () => {
  const [line = '', ...others] = await standingOf('http://127.0.0.1:1');
  assert.match(line, /^its status cannot be had: /);
  assert.deepEqual(others, []);
});
