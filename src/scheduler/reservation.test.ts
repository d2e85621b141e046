/** Models that need several devices, among many that keep theirs busy for ever: two simulated hours each. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SchedulerMeter } from '../../test/fakes/scheduler-meter.ts';
import { SchedulerWorld, testPolicy, testSetup } from '../../test/fakes/scheduler-world.ts';
import { createPrng, type Prng } from '../core/prng.ts';
import type { ModelPolicy } from './model-policy.ts';
import type { SwapPolicy } from './swap-policy.ts';
import { TURNS } from './turns-policy.ts';

const GIB = 1024;
const SHARE = 0.2;
const DURATION_MS = 2 * 3_600_000;
const STOP_MS = 2_000;
const IDLE_SHARE_MAX = 0.05;

interface Scenario {
  readonly devices: number;
  readonly seed: number;
  /** One-GPU models; each has more clients than slots. */
  readonly singles: number;
  /** Device counts of the models that are asked for once a minute. */
  readonly wide: readonly number[];
  readonly serviceMs: (prng: Prng) => number;
  /** All sleep instead of being stopped. */
  readonly sleep?: true;
  readonly defect?: (world: SchedulerWorld) => void;
}

interface Figures {
  readonly meter: SchedulerMeter;
  readonly world: SchedulerWorld;
  readonly wideWaitMs: number;
  readonly singleWaitMs: number;
  readonly boundMs: (name: string) => number;
  readonly idleShare: number;
}

function gib(size: number): number {
  return size * GIB;
}

const shortRequests = (prng: Prng): number => 1_000 + prng.integer(29_000);
/** Nine of ten take no longer than a minute. */
const longRequests = (prng: Prng): number => Math.min(115_000, -26_000 * Math.log(1 - prng.next()));

function run(scenario: Scenario): Figures {
  const prng = createPrng(scenario.seed);
  const sleepLevel = scenario.sleep === true ? 1 : 0;
  const singles = Array.from({ length: scenario.singles }, (_, index) =>
    testPolicy(`s${index}`, {
      sleepLevel,
      memoryMibPerDevice: gib(14 + prng.integer(7)),
      maxConcurrent: 4,
      assumedStartMs: 40_000,
      queueTimeoutMs: DURATION_MS,
    }),
  );
  const wide = scenario.wide.map((deviceCount, index) =>
    testPolicy(`wide${index}`, {
      sleepLevel,
      deviceCount,
      memoryMibPerDevice: gib(20),
      assumedStartMs: 40_000,
      queueTimeoutMs: DURATION_MS,
    }),
  );
  const policies = [...singles, ...wide];
  const startMs = new Map(policies.map((policy) => [policy.name, 20_000 + prng.integer(40_000)]));
  const setup = testSetup(
    policies,
    Array.from({ length: scenario.devices }, () => gib(24)),
  );
  const world = new SchedulerWorld(
    { ...setup, hostBudgetMib: gib(1_000) },
    { stopMs: STOP_MS, sleepMs: 2_500, wakeMs: 3_000 },
  );
  world.startMsOf = (model) => startMs.get(model) ?? 0;
  world.serviceMsOf = () => Math.round(scenario.serviceMs(prng));
  const meter = new SchedulerMeter(world);
  scenario.defect?.(world);
  drive(world, singles, wide);
  const waits = (models: readonly ModelPolicy[]): number =>
    Math.max(...models.map((policy) => meter.longestWaitMs.get(policy.name) ?? 0));
  return {
    meter,
    world,
    wideWaitMs: waits(wide),
    singleWaitMs: waits(singles),
    boundMs: (name) => boundMs(policies, startMs, name),
    idleShare: meter.idleShare(DURATION_MS),
  };
}

function drive(world: SchedulerWorld, singles: readonly ModelPolicy[], wide: readonly ModelPolicy[]): void {
  const busy = new Set(singles.map((policy) => policy.name));
  world.onEnd = (record) => {
    if (busy.has(record.model)) world.request(record.model);
  };
  for (const policy of singles) for (let client = 0; client < 6; client += 1) world.request(policy.name);
  for (const policy of wide) {
    const again = (): void => {
      world.request(policy.name);
      world.clock.setTimer(world.clock.nowMs() + 60_000, again);
    };
    again();
  }
  world.clock.advanceTo(DURATION_MS);
}

/** R + sum of (c + q + d) of all others + c of its own (design.md, "Waiting"). */
function boundMs(
  policies: readonly ModelPolicy[],
  startMs: ReadonlyMap<string, number>,
  name: string,
): number {
  const costMs = (policy: ModelPolicy): number => (startMs.get(policy.name) ?? 0) + STOP_MS;
  const dearestMs = Math.max(...policies.map(costMs));
  const turnMs = (policy: ModelPolicy): number =>
    // The learned cost, or the assumed one before the first start, or that of the model whose place it took.
    (Math.max(costMs(policy), policy.assumedStartMs + STOP_MS) * (1 - SHARE)) / SHARE + policy.drainTimeoutMs;
  const others = policies.filter((policy) => policy.name !== name);
  const restMs = Math.max(...others.map(turnMs));
  return others.reduce((sum, policy) => sum + costMs(policy) + turnMs(policy), restMs + dearestMs);
}

function assertMovesPaid(meter: SchedulerMeter): void {
  for (const [id, { excessMs, longestMoveMs }] of meter.moveExcess(SHARE)) {
    assert.ok(
      excessMs <= longestMoveMs + 1,
      `${id}: moves between busy models exceed their share by ${excessMs} ms, one move is ${longestMoveMs} ms`,
    );
  }
}

function assertGood(what: string, { meter, world, boundMs: bound, ...figures }: Figures): void {
  for (const name of world.state.models.keys()) {
    const waitedMs = meter.longestWaitMs.get(name) ?? 0;
    assert.ok(
      waitedMs <= bound(name),
      `${what}: ${name} waited ${waitedMs} ms, its bound is ${bound(name)} ms`,
    );
  }
  assert.ok(
    figures.idleShare <= IDLE_SHARE_MAX,
    `${what}: ${figures.idleShare} of the devices stood reserved`,
  );
  assertMovesPaid(meter);
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(0);
}

function figuresLine(what: string, figures: Figures): string {
  const worst = [...figures.meter.moveExcess(SHARE).values()].map((one) => one.excessMs / one.longestMoveMs);
  return [
    `${what}: longest wait of a wide model ${seconds(figures.wideWaitMs)} s (bound ${seconds(figures.boundMs('wide0'))} s)`,
    `of a single ${seconds(figures.singleWaitMs)} s (bound ${seconds(figures.boundMs('s0'))} s)`,
    `reserved idle ${(100 * figures.idleShare).toFixed(2)} %`,
    `excess of paid moves ${Math.max(0, ...worst).toFixed(2)} of one move`,
    `${figures.world.count('wake')} wakings, ${figures.world.count('start')} starts (${figures.world.count('start', 'wide0')} of wide0)`,
    `${figures.world.count('cut')} cuts`,
  ].join(', ');
}

const BASE = { devices: 4, singles: 12, seed: 1, wide: [4], serviceMs: shortRequests } as const;

for (const [what, scenario] of [
  ['TP4 and 12 singles on 4 devices', BASE],
  ['TP4 and 12 singles on 8 devices', { ...BASE, devices: 8 }],
  ['two TP2 and 8 singles on 4 devices', { ...BASE, singles: 8, wide: [2, 2] }],
  ['TP4 and 12 singles with long requests on 4 devices', { ...BASE, serviceMs: longRequests }],
  ['TP4 and 12 singles that sleep on 4 devices', { ...BASE, sleep: true }],
] as const) {
  test(`${what}: waits are bounded, and devices hardly stand idle`, (context) => {
    const figures = run(scenario);
    context.diagnostic(figuresLine(what, figures));
    assertGood(what, figures);
  });
}

/** The wide model is passed over whenever somebody else waits: it holds devices only when nobody else wants them. */
function withoutReservation(world: SchedulerWorld): void {
  const rebalance: SwapPolicy['rebalance'] = (d) => {
    const wide = world.state.models.get('wide0');
    const { contenders } = world.state;
    if (wide === undefined || contenders.size === 1 || !contenders.delete(wide)) TURNS.rebalance(d);
    else {
      TURNS.rebalance(d);
      contenders.add(wide);
    }
  };
  Object.assign(world.state, { policy: { name: 'without reservation', rebalance } });
}

test('without holding what it waits for, the wide model never gets in, and the check says so', () => {
  const figures = run({ ...BASE, defect: withoutReservation });
  assert.equal(figures.world.count('start', 'wide0'), 0);
  assert.throws(() => assertGood('no reservation', figures), /wide0 waited 7200000 ms/);
});
