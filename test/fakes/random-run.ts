/**
 * Random runs of the scheduler: worlds of every kind, in which everything happens that may happen to a scheduler. The world
 * asserts the invariants after every event.
 */
import assert from 'node:assert/strict';
import { createPrng, type Prng } from '../../src/core/prng.ts';
import type { Effect } from '../../src/scheduler/effects.ts';
import type {
  AdoptedStage,
  DeviceBudget,
  ModelPolicy,
  SchedulerSetup,
} from '../../src/scheduler/model-policy.ts';
import type { SwapPolicy } from '../../src/scheduler/swap-policy.ts';
import { type RequestRecord, SchedulerWorld, testPolicy, testSetup } from './scheduler-world.ts';

const ACTIONS = 120;
/** Past every patience, drain and backoff of these runs. */
const LIVENESS_MS = 3_000_000;

function randomPolicy(prng: Prng, name: string, devices: number): ModelPolicy {
  return testPolicy(name, {
    managed: prng.next() < 0.95,
    deviceCount: prng.next() < 0.2 ? Math.min(2, devices) : 1,
    pool: prng.next() < 0.3 ? 'p' : null,
    memoryMibPerDevice: prng.next() < 0.2 ? null : 2_000 + prng.integer(14_000),
    sleepLevel: prng.next() < 0.6 ? 1 : 0,
    hostAwakeMib: 2_000,
    hostAsleepMib: 4_000 + prng.integer(20_000),
    alwaysOn: prng.next() < 0.1,
    inactivityTimeoutMs: prng.next() < 0.3 ? 20_000 : 0,
    minResidenceMs: prng.next() < 0.3 ? 5_000 : 0,
    maxConcurrent: 1 + prng.integer(4),
    queueSize: 5 + prng.integer(20),
    queueTimeoutMs: 600_000,
    drainTimeoutMs: 5_000 + prng.integer(20_000),
    // At times less than a fetch takes.
    fetchTimeoutMs: prng.next() < 0.3 ? 4_000 + prng.integer(20_000) : null,
    signature: `${name} ${prng.integer(2)}`,
  });
}

function randomDevices(prng: Prng, count: number): DeviceBudget[] {
  return Array.from({ length: count }, (_, index) => {
    const budgetMib = prng.next() < 0.8 ? 16_000 : 8_000;
    return {
      id: `gpu-${index}`,
      pool: index === 0 ? 'p' : null,
      totalMib: 16_000,
      budgetMib,
      spareMib: 16_000 - budgetMib,
      foreignMib: prng.next() < 0.2 ? 4_000 : 0,
    };
  });
}

function randomSetup(prng: Prng): SchedulerSetup {
  const devices = 1 + prng.integer(3);
  const models = Array.from({ length: 2 + prng.integer(6) }, (_, index) =>
    randomPolicy(prng, `m${index}`, devices),
  );
  const hostBudgetMib = prng.next() < 0.2 ? null : 10_000 + prng.integer(80_000);
  return { ...testSetup(models), devices: randomDevices(prng, devices), hostBudgetMib };
}

/** Something that happens to a world; weights by repetition. */
type Action = (world: SchedulerWorld, prng: Prng, model: string) => void;

const request: Action = (world, _prng, model) => void world.request(model);
const lightRequest: Action = (world, _prng, model) => void world.request(model, null, true);
const size: Action = (world, prng, model) => {
  const need = world.state.models.get(model)?.need;
  if (need === undefined || need === null) return;
  const memoryMibPerDevice = 2_000 + prng.integer(18_000);
  world.send({ kind: 'sized', model, need: { ...need, memoryMibPerDevice } });
};
const measure: Action = (world, prng, model) => {
  const launchId = world.launchIdOf(model);
  if (launchId === null) return;
  world.send({ kind: 'measured', model, launchId, memoryMibPerDevice: 1_000 + prng.integer(15_000) });
};
const hostMemory: Action = (world, prng) =>
  void world.send({ kind: 'host_memory', budgetMib: prng.integer(90_000) });
const lackRoom: Action = (world, prng, model) => {
  const engine = world.state.models.get(model)?.engine;
  if (engine?.kind !== 'starting' && engine?.kind !== 'waking') return;
  const { launchId, deviceIds } = engine.reservation;
  const freeMib = Object.fromEntries(deviceIds.map((id) => [id, prng.integer(2_000)]));
  world.send({ kind: 'no_room', asleep: engine.kind === 'waking', model, launchId, freeMib });
};
const mend: Action = (world, _prng, model) => {
  const engine = world.state.models.get(model)?.engine;
  if (engine?.kind !== 'starting') return;
  const failure = { cause: 'out_of_memory', text: 'out of memory', retryable: true };
  const { launchId } = engine.reservation;
  world.send({ kind: 'exited', model, launchId, failure, mended: 'more is reserved' });
};
const pass: Action = (world, prng) => world.clock.advanceTo(world.clock.nowMs() + prng.integer(8_000));

function liveRequest(world: SchedulerWorld, prng: Prng): RequestRecord | undefined {
  const live = [...world.requests.values()].filter(
    (record) => record.finishedMs === null && record.refusal === null,
  );
  return live[prng.integer(Math.max(1, live.length))];
}

const leave: Action = (world, prng) => {
  const record = liveRequest(world, prng);
  if (record !== undefined) world.send({ kind: 'left', requestId: record.id });
};

const loseConnection: Action = (world, prng) => {
  const record = liveRequest(world, prng);
  if (record === undefined) return;
  world.send({ kind: 'returned', requestId: record.id, cause: 'connection_lost', detail: 'reset' });
};

const crash: Action = (world, prng, model) => {
  const engine = world.state.models.get(model)?.engine;
  if (engine?.kind !== 'starting' && engine?.kind !== 'awake') return;
  const failure = { cause: 'unknown', text: 'it crashed', retryable: prng.next() < 0.9 };
  world.send({ kind: 'exited', model, launchId: engine.reservation.launchId, failure });
};

const sticky: Action = (world, prng, model) => void world.stuckStops.set(model, 1 + prng.integer(3));

const command: Action = (world, prng, model) => {
  const kinds = ['load', 'unload', 'reset'] as const;
  world.send({ kind: 'operator_command', command: { kind: kinds[prng.integer(3)] ?? 'load', model } });
};

const reconfigure: Action = (world, prng) => {
  const count = 1 + prng.integer(3);
  const models = Array.from({ length: 1 + prng.integer(7) }, (_, index) =>
    randomPolicy(prng, `m${index}`, count),
  );
  const { scheduling } = testSetup([]);
  world.send({ kind: 'configuration_changed', models, devices: randomDevices(prng, count), scheduling });
};

const ACTIONS_BY_CHANCE: readonly Action[] = [
  ...Array.from({ length: 24 }, () => request),
  ...Array.from({ length: 10 }, () => pass),
  lightRequest,
  lightRequest,
  size,
  measure,
  hostMemory,
  lackRoom,
  mend,
  leave,
  leave,
  leave,
  loseConnection,
  loseConnection,
  crash,
  crash,
  sticky,
  command,
  reconfigure,
];

function fetchFailure(retryable: boolean) {
  return { cause: 'fetch_failed', text: 'the hub is not there', retryable };
}

const STAGES: readonly AdoptedStage[] = [
  { kind: 'awake' },
  { kind: 'awake' },
  { kind: 'starting', ageMs: 1_000 },
  { kind: 'falling_asleep', level: 1 },
  { kind: 'asleep', level: 2 },
  { kind: 'waking', level: 1 },
  { kind: 'unusable', why: 'that does not answer' },
];

/** A gateway that finds engines of an earlier one, each on a device of its own, before it knows its devices. */
function adoptSome(world: SchedulerWorld, prng: Prng, devices: readonly DeviceBudget[]): void {
  for (const [index, { id }] of devices.entries()) {
    const model = `m${prng.integer(8)}`;
    const signature = world.state.models.get(model)?.policy.signature ?? 'gone';
    const stage = STAGES[prng.integer(STAGES.length)] ?? { kind: 'awake' };
    const launchId = `old-${index + 1}`;
    const launch = { model, launchId, deviceIds: [id], memoryMibPerDevice: 4_000, signature, stage };
    world.send({ kind: 'adopted', launch, contextLength: null });
    world.goOn(model, launchId, stage);
  }
  world.send({ kind: 'devices_changed', devices });
}

/** What still waits or runs, for the message of a failure. */
function stuckRequests(world: SchedulerWorld): string {
  return [...world.state.requests]
    .map(([id, model]) => `request ${id} of ${model.policy.name} (${model.engine.kind})`)
    .join(', ');
}

export interface RandomRun {
  readonly world: SchedulerWorld;
  readonly setup: SchedulerSetup;
  /** Effects of its beginning. */
  readonly began: readonly Effect[];
}

/** One run under the policy (absent: production's), to its end: every request has ended. */
export function randomRun(seed: number, policy?: SwapPolicy): RandomRun {
  const prng = createPrng(seed);
  const drawn = randomSetup(prng);
  const adopts = seed % 4 === 0;
  const setup = adopts ? { ...drawn, devices: null } : drawn;
  const world = new SchedulerWorld(setup, {}, policy);
  const began = [...world.effects];
  world.probeAnswer = () => prng.next() < 0.7;
  // Beyond every drain limit.
  world.serviceMs.set('m0', 60_000);
  world.sleepAnswer = () => {
    const chance = prng.next();
    return chance < 0.85 ? 'ok' : chance < 0.92 ? 'failed' : chance < 0.96 ? 'silent' : 'no_room';
  };
  world.fetchAnswer = () => {
    const chance = prng.next();
    return chance < 0.7 ? null : chance < 0.8 ? 'silent' : fetchFailure(chance < 0.95);
  };
  if (adopts) adoptSome(world, prng, drawn.devices ?? []);
  for (let step = 0; step < ACTIONS; step += 1) {
    const action = ACTIONS_BY_CHANCE[prng.integer(ACTIONS_BY_CHANCE.length)] ?? pass;
    action(world, prng, `m${prng.integer(8)}`);
  }
  if (seed % 3 === 0) world.send({ kind: 'shutdown', step: 'drain', leaveEngines: seed % 2 === 0 });
  world.clock.advanceTo(world.clock.nowMs() + LIVENESS_MS);
  assert.equal(world.state.requests.size, 0, `seed ${seed}: ${stuckRequests(world)}`);
  if (seed % 3 === 0) {
    world.send({ kind: 'shutdown', step: 'stop', leaveEngines: false });
    world.clock.advanceTo(world.clock.nowMs() + LIVENESS_MS);
    assert.equal(world.state.launches.size, 0, `seed ${seed}: an engine is left after the shutdown`);
  }
  return { world, setup, began };
}
