/** Random runs: invariants after every event (the world asserts them), every request ends, and a record replays. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SchedulerWorld, testPolicy, testSetup } from '../../test/fakes/scheduler-world.ts';
import { replayLines } from '../control/run-record.ts';
import { createPrng, type Prng } from '../core/prng.ts';
import type { ModelPolicy, SchedulerSetup } from './model-policy.ts';

const SEEDS = 200;
const ACTIONS = 120;
/** Past every patience, drain and backoff of these runs. */
const LIVENESS_MS = 3_000_000;

function randomSetup(prng: Prng): SchedulerSetup {
  const devices = 1 + prng.integer(3);
  const models: ModelPolicy[] = Array.from({ length: 2 + prng.integer(6) }, (_, index) =>
    testPolicy(`m${index}`, {
      deviceCount: prng.next() < 0.2 ? Math.min(2, devices) : 1,
      memoryMibPerDevice: prng.next() < 0.2 ? null : 2_000 + prng.integer(14_000),
      inactivityTimeoutMs: prng.next() < 0.3 ? 20_000 : 0,
      minResidenceMs: prng.next() < 0.3 ? 5_000 : 0,
      maxConcurrent: 1 + prng.integer(4),
      queueSize: 5 + prng.integer(20),
      queueTimeoutMs: 600_000,
      drainTimeoutMs: 5_000 + prng.integer(20_000),
    }),
  );
  return testSetup(
    models,
    Array.from({ length: devices }, () => 16_000),
  );
}

function act(world: SchedulerWorld, prng: Prng, names: readonly string[]): void {
  const name = names[prng.integer(names.length)] ?? '';
  const draw = prng.next();
  const live = [...world.requests.values()].filter(
    (record) => record.finishedMs === null && record.refusal === null,
  );
  const victim = live[prng.integer(Math.max(1, live.length))];
  const engine = world.state.models.get(name)?.engine;
  const launched = engine?.kind === 'starting' || engine?.kind === 'awake';
  if (draw < 0.6) world.request(name);
  else if (draw < 0.7 && victim !== undefined) world.send({ kind: 'left', requestId: victim.id });
  else if (draw < 0.75 && victim !== undefined) {
    world.send({ kind: 'returned', requestId: victim.id, cause: 'connection_lost', detail: 'reset' });
    const suspect = world.launchIdOf(victim.model);
    if (suspect !== null)
      world.send({
        kind: 'probed',
        model: victim.model,
        launchId: suspect,
        healthy: prng.next() < 0.5,
        detail: '',
      });
  } else if (draw < 0.8 && launched) {
    const failure = { cause: 'unknown', text: 'it crashed', retryable: prng.next() < 0.9 };
    world.send({ kind: 'exited', model: name, launchId: engine.reservation.launchId, failure });
  } else if (draw < 0.84) {
    const kinds = ['load', 'unload', 'reset'] as const;
    world.send({
      kind: 'operator_command',
      command: { kind: kinds[prng.integer(3)] ?? 'load', model: name },
    });
  } else world.clock.advanceTo(world.clock.nowMs() + prng.integer(8_000));
}

test(`${SEEDS} random runs keep the invariants, lose no request and replay to the same effects`, () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const prng = createPrng(seed);
    const setup = randomSetup(prng);
    const world = new SchedulerWorld(setup);
    const began = [...world.effects];
    for (let action = 0; action < ACTIONS; action += 1) {
      act(
        world,
        prng,
        setup.models.map((model) => model.name),
      );
    }
    world.clock.advanceTo(world.clock.nowMs() + LIVENESS_MS);
    assert.equal(
      world.state.requests.size,
      0,
      `seed ${seed}: ${world.state.requests.size} requests never ended`,
    );
    assert.equal(world.state.contenders.size, 0, `seed ${seed}: somebody still contends`);
    const header = { kind: 'run', version: 'test', startedAt: '', beganMs: 0, setup, effects: began };
    const result = replayLines([header, ...world.events].map((line) => JSON.stringify(line)));
    assert.deepEqual(result, { kind: 'same', events: world.events.length }, `seed ${seed}`);
  }
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
