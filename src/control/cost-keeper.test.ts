import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SchedulerWorld, testPolicy, testSetup } from '../../test/fakes/scheduler-world.ts';
import { VirtualClock } from '../core/virtual-clock.ts';
import { readLearnedCosts } from '../store/learned-costs.ts';
import { CostKeeper, learnedCosts } from './cost-keeper.ts';

test('costs are kept with the launch that they were measured with, and used for no other', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'keeper-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const file = join(directory, 'costs.json');
  const world = new SchedulerWorld(testSetup([testPolicy('a'), testPolicy('b')]));
  world.request('a');
  world.clock.advanceTo(10_000);
  const faults: string[] = [];
  const keeper = new CostKeeper(new VirtualClock(), file, (text) => faults.push(text));
  keeper.changed(world.state);
  await keeper.flush();
  const stored = await readLearnedCosts(file);
  assert.deepEqual(stored, { a: { signature: 'a', startMs: 2_000, stopMs: null } });
  assert.deepEqual(learnedCosts(stored, [testPolicy('a'), testPolicy('b')]), {
    a: { startMs: 2_000, stopMs: null },
  });
  assert.deepEqual(learnedCosts(stored, [testPolicy('a', { signature: 'changed' })]), {});
  assert.deepEqual(faults, []);
});

test('a disk that refuses is told and nothing more', async () => {
  const world = new SchedulerWorld(testSetup([testPolicy('a')]));
  world.request('a');
  world.clock.advanceTo(10_000);
  const faults: string[] = [];
  const keeper = new CostKeeper(new VirtualClock(), '/nowhere/at/all/costs.json', (text) =>
    faults.push(text),
  );
  keeper.changed(world.state);
  await keeper.flush();
  assert.match(faults.join(), /could not be kept: .*ENOENT/);
});
