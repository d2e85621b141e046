/** Random runs: invariants after every event (the world asserts them), every request ends, and a record replays. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomRun } from '../../test/fakes/random-run.ts';
import { SchedulerWorld, testPolicy, testSetup } from '../../test/fakes/scheduler-world.ts';
import { replayLines } from '../control/run-record.ts';

const SEEDS = 300;
/** Moves that the runs must have seen: else the test proves less than it says. */
const counts: Record<string, number> = {};

test(`${SEEDS} random runs keep the invariants, lose no request and replay to the same effects`, () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const { world, setup, began } = randomRun(seed);
    const header = { kind: 'run', version: 'test', startedAt: '', beganMs: 0, setup, effects: began };
    for (const { kind } of world.effects) counts[kind] = (counts[kind] ?? 0) + 1;
    const result = replayLines([header, ...world.events].map((line) => JSON.stringify(line)));
    assert.deepEqual(result, { kind: 'same', events: world.events.length }, `seed ${seed}`);
  }
  for (const kind of ['start', 'stop', 'sleep', 'wake', 'probe', 'cut', 'fetch', 'cancel_fetch'])
    assert.ok((counts[kind] ?? 0) > 20, `too few of ${kind}: ${JSON.stringify(counts)}`);
});

test('replay notices a decision that differs', () => {
  const setup = testSetup([testPolicy('a')]);
  const world = new SchedulerWorld(setup);
  const began = [...world.effects];
  world.request('a');
  world.clock.advanceTo(10_000);
  const header = { kind: 'run', version: 'test', startedAt: '', beganMs: 0, setup, effects: began };
  const lines = [header, ...world.events].map((line) => JSON.stringify(line));
  const changed = lines.map((line) => line.replace('"waitedMs":2000', '"waitedMs":1'));
  assert.equal(replayLines(lines).kind, 'same');
  assert.equal(replayLines(changed).kind, 'different');
});
