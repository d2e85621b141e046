/** Drains: when victims are asked, what happens at the limit, and whose turn it is meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type RequestRecord,
  SchedulerWorld,
  testPolicy,
  testSetup,
} from '../../test/fakes/scheduler-world.ts';
import { estimate } from './estimate.ts';
import { RecentTimes } from './recent-times.ts';

/** a serves one request for 1000 s; b asks for its device at 100 s. */
function longDrain(onDrainTimeout: 'cut' | 'wait'): { world: SchedulerWorld; waiting: RequestRecord } {
  const policies = [testPolicy('a', { drainTimeoutMs: 10_000, onDrainTimeout }), testPolicy('b')];
  const world = new SchedulerWorld(testSetup(policies));
  world.serviceMs.set('a', 1_000_000);
  world.request('a');
  world.clock.advanceTo(100_000);
  const waiting = world.request('b');
  return { world, waiting };
}

test('at the limit, cut: what runs is ended and waits again', () => {
  const { world } = longDrain('cut');
  world.clock.advanceTo(109_999);
  assert.equal(world.count('cut'), 0);
  world.clock.advanceTo(110_000);
  assert.equal(world.count('cut'), 1);
  assert.equal(world.state.models.get('a')?.queue.size, 1);
});

test('at the limit, wait: it keeps its devices until its requests have ended, gets no more, and all are told', () => {
  const { world, waiting } = longDrain('wait');
  world.clock.advanceTo(200_000);
  const later = world.request('a');
  world.clock.advanceTo(900_000);
  assert.equal(world.count('cut'), 0);
  assert.equal(world.engineKind('a'), 'draining');
  assert.equal(later.dispatchedMs, null);
  const own = estimate(world.state, 'a', world.clock.nowMs());
  assert.match(own.why, /drain limit has passed/);
  const others = estimate(world.state, 'b', world.clock.nowMs());
  assert.equal(others.readyInMs, null);
  assert.match(others.why, /nobody can tell: a keeps its devices/);
  world.clock.advanceTo(1_010_000);
  assert.equal(waiting.dispatchedMs, 2_000 + 1_000_000 + 500 + 2_000);
});

test('a drain without a limit is taken back when there is room elsewhere', () => {
  const policies = [
    testPolicy('a', { drainTimeoutMs: 10_000, onDrainTimeout: 'wait' }),
    testPolicy('b'),
    testPolicy('c'),
  ];
  const world = new SchedulerWorld(testSetup(policies, [16_000, 16_000]));
  world.serviceMs.set('a', 1_000_000);
  world.serviceMs.set('c', 500_000);
  for (const model of ['a', 'c']) world.request(model);
  world.clock.advanceTo(100_000);
  const request = world.request('b');
  world.clock.advanceTo(600_000);
  assert.ok((request.dispatchedMs ?? Number.POSITIVE_INFINITY) <= 510_000);
  assert.equal(world.engineKind('a'), 'awake');
});

test('victims are asked so that they leave together, and serve on until then', () => {
  const models = ['slow', 'quick'].map((name) => testPolicy(name));
  const wide = testPolicy('wide', { deviceCount: 2 });
  const world = new SchedulerWorld(testSetup([...models, wide], [16_000, 16_000]));
  world.serviceMs.set('slow', 60_000);
  world.onEnd = ({ model }) => {
    if (model !== 'wide') world.request(model);
  };
  for (const { name } of models) world.request(name);
  world.clock.advanceTo(90_000);
  const request = world.request('wide');
  world.clock.advanceTo(100_000);
  assert.equal(world.engineKind('slow'), 'draining');
  assert.equal(world.engineKind('quick'), 'awake');
  world.clock.advanceTo(300_000);
  assert.notEqual(request.dispatchedMs, null);
  const stopMs = (name: string): number =>
    world.events.find(({ effects }) => effects.some((e) => e.kind === 'stop' && e.model === name))?.atMs ?? 0;
  // slow's running request began at 62 s and ends at 122 s; its drain was expected to take a whole one.
  assert.equal(stopMs('slow'), 122_000);
  assert.ok(stopMs('quick') - stopMs('slow') <= 2_000, `quick went at ${stopMs('quick')} ms`);
  assert.ok(stopMs('quick') - stopMs('slow') >= -2_000, `quick went at ${stopMs('quick')} ms`);
});

test('the tail of service times is that of the last 32', () => {
  const times = new RecentTimes(32);
  assert.equal(times.tailMs, null);
  for (let ms = 1; ms <= 10; ms += 1) times.add(ms);
  assert.equal(times.tailMs, 9);
  for (let count = 0; count < 32; count += 1) times.add(1_000);
  assert.equal(times.tailMs, 1_000);
});

test('a drain is told when it begins with requests in flight and when its limit has passed', () => {
  const { world } = longDrain('cut');
  world.clock.advanceTo(110_000);
  const told = world.effects.flatMap((effect) => (effect.kind === 'drain' ? [effect.reason] : []));
  assert.equal(told.length, 2);
  assert.match(told[0] ?? '', /waits for its devices; 1 request\(s\) may end first/);
  assert.match(told[1] ?? '', /its drain limit has passed, and 1 request\(s\) are cut/);
});
