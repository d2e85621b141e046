import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../core/virtual-clock.ts';
import type { DeviceCondition, MemoryReading } from './device.ts';
import { MemoryMonitor } from './memory-monitor.ts';
import type { ProcessUse, RawDevice, StreamSink } from './raw-device.ts';

/** Long enough for every chain of promises that has no timer in it. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

const DEVICE: RawDevice = {
  id: 'g',
  name: 'G',
  source: 'nvidia',
  index: 0,
  totalMib: 10_000,
  unified: false,
};

const CALLED_OFF: DeviceCondition = { code: 'called_off', text: 'called off' };

/** A device whose every figure the test decides, with or without a stream. */
class World {
  readonly clock = new VirtualClock();
  readonly told: (MemoryReading | undefined)[] = [];
  usedMib: number | null = 300;
  processes: ProcessUse[] | null = null;
  failure: DeviceCondition | null = null;
  sink: StreamSink | null = null;
  reads = 0;
  /** Calls of the tool that wait for `answer`, or to be called off. */
  readonly held: (() => void)[] = [];
  holding = false;
  /** Lists of processes are answered when it resolves. */
  listing: Promise<void> = Promise.resolve();
  calledOff = 0;
  streamsClosed = 0;
  changes = 0;
  conditions: readonly string[] = [];
  readonly monitor: MemoryMonitor;

  constructor(streams = false) {
    const uses = () => new Map(this.usedMib === null ? [] : [['g', this.usedMib] as const]);
    this.monitor = new MemoryMonitor({
      source: {
        read: () => assert.fail('the monitor makes no inventory'),
        memory: async (_devices, signal) => {
          this.reads += 1;
          if (this.holding) await this.#hold(signal);
          return { uses: uses(), failure: signal?.aborted ? CALLED_OFF : this.failure };
        },
        processes: async () => {
          await this.listing;
          const rows = this.processes;
          return { byDevice: rows === null ? null : new Map([['g', rows]]), conditions: [] };
        },
        stream: (_devices, sink) => {
          if (!streams) return null;
          this.sink = sink;
          return () => {
            this.sink = null;
            this.streamsClosed += 1;
          };
        },
      },
      clock: this.clock,
      ownerOf: (pid) => (pid < 100 ? 'a' : pid < 200 ? 'b' : null),
      told: (readings) => this.told.push(readings[0]),
      conditions: (conditions) => {
        this.conditions = conditions.map(({ code }) => code);
      },
      changed: () => {
        this.changes += 1;
      },
    });
    this.monitor.setDevices([DEVICE], uses());
  }

  #hold(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      this.held.push(resolve);
      signal?.addEventListener('abort', () => {
        this.calledOff += 1;
        resolve();
      });
    });
  }

  /** Answers all calls that wait. */
  answer(): void {
    for (const release of this.held.splice(0)) release();
  }

  get foreignMib(): number | null | undefined {
    return this.told.at(-1)?.foreignMib;
  }

  stream(uses: readonly (readonly [string, number])[]): void {
    assert.ok(this.sink !== null, 'nothing streams');
    this.sink.uses(new Map(uses));
  }

  async goOn(ms: number): Promise<void> {
    const untilMs = this.clock.nowMs() + ms;
    await settle();
    while (this.clock.step(untilMs)) await settle();
    this.clock.advanceTo(untilMs);
    await settle();
  }
}

test('it reads every 10 s, and every second while memory moves and a little longer', async () => {
  const world = new World();
  world.monitor.follow();
  await world.goOn(29_000);
  assert.equal(world.reads, 3);
  world.monitor.launchMoved('a', 'moving', ['g']);
  await world.goOn(9_500);
  assert.equal(world.reads, 13);
  world.monitor.launchMoved('a', 'settled', []);
  await world.goOn(60_000);
  assert.ok(world.reads < 13 + 14, `${world.reads} readings`);
  world.monitor.close();
  assert.equal(world.clock.pendingCount, 0);
});

test('without processes a launch is the difference over its start, and what others take later is foreign', async () => {
  const world = new World();
  world.monitor.follow();
  await world.goOn(0);
  assert.equal(world.foreignMib, 300);
  world.monitor.launchMoved('a', 'moving', ['g']);
  world.usedMib = 4_300;
  await world.goOn(2_000);
  assert.equal(world.foreignMib, 300);
  world.monitor.launchMoved('a', 'settled', []);
  await world.goOn(0);
  assert.deepEqual(world.told.at(-1)?.launches.get('a'), { usedMib: 4_000, source: 'device_difference' });
  world.usedMib = 5_300;
  await world.goOn(10_000);
  assert.deepEqual([world.foreignMib, world.told.at(-1)?.foreignSource], [1_300, 'device_difference']);
  world.monitor.launchMoved('a', 'moving', []);
  world.usedMib = 1_300;
  world.monitor.launchMoved('a', 'gone', []);
  await world.goOn(0);
  assert.deepEqual([world.foreignMib, world.told.at(-1)?.launches.size], [1_300, 0]);
  world.monitor.close();
});

test('an adopted launch is told by its processes, and by nothing where there are none', async () => {
  const world = new World();
  world.usedMib = 5_000;
  world.monitor.launchMoved('a', 'settled', ['g']);
  world.monitor.follow();
  await world.goOn(0);
  assert.equal(world.foreignMib, null);
  world.processes = [{ pid: 7, usedMib: 4_000 }];
  await world.goOn(10_000);
  assert.deepEqual([world.foreignMib, world.told.at(-1)?.foreignSource], [1_000, 'per_process']);
  assert.deepEqual(world.conditions, []);
  world.processes = [{ pid: 700, usedMib: 4_000 }];
  await world.goOn(10_000);
  assert.deepEqual([world.foreignMib, world.conditions], [null, ['processes_not_mapped']]);
  world.monitor.close();
});

test('a stream stands in for calls while memory moves, and ends when it has settled', async () => {
  const world = new World(true);
  world.monitor.follow();
  await world.goOn(1_000);
  assert.ok(world.sink === null, 'it streams without need');
  world.monitor.launchMoved('a', 'moving', ['g']);
  await world.goOn(100);
  const before = world.reads;
  for (let batch = 1; batch <= 40; batch += 1) {
    world.stream([['g', 1_000 + batch]]);
    await world.goOn(250);
  }
  assert.equal(world.reads, before);
  assert.equal(world.told.at(-1)?.usedMib, 1_037, 'once a second the round of then is told');
  world.usedMib = 1_040;
  world.monitor.launchMoved('a', 'settled', []);
  await world.goOn(30_000);
  assert.deepEqual([world.sink, world.streamsClosed], [null, 1]);
  world.monitor.close();
});

/** A stream flows, and calls of the tool wait to be answered. */
async function racing(): Promise<World> {
  const world = new World(true);
  world.monitor.launchMoved('a', 'moving', ['g']);
  world.monitor.follow();
  await world.goOn(0);
  world.holding = true;
  world.stream([['g', 1]]);
  return world;
}

test('M1: a caller gets the next round of the stream when that is quicker, and the call is called off', async () => {
  const world = await racing();
  const next = world.monitor.measure();
  await settle();
  const timers = world.clock.pendingCount;
  world.stream([['g', 2]]);
  assert.equal((await next)[0]?.usedMib, 2);
  assert.deepEqual([world.calledOff, world.clock.pendingCount], [1, timers - 1]);
  assert.deepEqual(world.conditions, []);
  world.monitor.close();
});

test('M1: a caller gets the answer of a call when that is quicker, and nothing waits for the stream', async () => {
  const world = await racing();
  const next = world.monitor.measure();
  await settle();
  const timers = world.clock.pendingCount;
  world.usedMib = 3;
  world.answer();
  assert.equal((await next)[0]?.usedMib, 3);
  assert.equal(world.clock.pendingCount, timers - 1);
  world.stream([['g', 4]]);
  assert.equal(world.told.at(-1)?.usedMib, 3);
  world.monitor.close();
});

test('M1: a stream that is silent or troubled, or a call that fails, leaves it to the other', async () => {
  const world = await racing();
  const silent = world.monitor.measure();
  await world.goOn(2_500);
  world.usedMib = 3;
  world.answer();
  assert.equal((await silent)[0]?.usedMib, 3);
  world.failure = { code: 'nvidia_driver_unavailable', text: 'it failed' };
  const failed = world.monitor.measure();
  await settle();
  world.answer();
  await settle();
  world.stream([['g', 5]]);
  assert.equal((await failed)[0]?.usedMib, 5);
  assert.deepEqual(world.conditions, [], 'a stream that flows is no trouble');
  world.failure = null;
  const troubled = world.monitor.measure();
  await settle();
  world.sink?.trouble({ code: 'nvidia_tool_hung', text: 'hung' });
  world.usedMib = 4;
  world.answer();
  assert.equal((await troubled)[0]?.usedMib, 4);
  assert.deepEqual(world.conditions, ['nvidia_tool_hung']);
  world.monitor.close();
});

test('M3: calls that are under way are called off by close', async () => {
  const world = new World();
  world.monitor.follow();
  await world.goOn(0);
  world.holding = true;
  const asked = world.monitor.measure();
  await settle();
  world.monitor.close();
  assert.equal((await asked)[0]?.usedMib, 300);
  assert.deepEqual([world.calledOff, world.conditions], [1, []]);
});

test('M4: a caller sees whose memory it is as of now, in the middle of a move too', async () => {
  const world = new World();
  world.processes = [{ pid: 7, usedMib: 5_000 }];
  world.usedMib = 5_300;
  world.monitor.launchMoved('a', 'settled', ['g']);
  world.monitor.follow();
  await world.goOn(0);
  world.monitor.launchMoved('a', 'moving', []);
  world.processes = [{ pid: 7, usedMib: 400 }];
  world.usedMib = 700;
  const [after] = await world.monitor.measure();
  assert.deepEqual(after?.launches.get('a'), { usedMib: 400, source: 'per_process' });
  assert.equal(after?.foreignMib, 300);
  world.monitor.close();
});

test('M4: from the end of a move to the reading that closes it a stream tells nothing, but its rounds answer', async () => {
  const world = new World(true);
  world.processes = [{ pid: 7, usedMib: 400 }];
  world.usedMib = 700;
  world.monitor.launchMoved('a', 'settled', ['g']);
  world.monitor.follow();
  await world.goOn(0);
  world.monitor.launchMoved('a', 'moving', []);
  world.stream([['g', 700]]);
  await world.goOn(0);
  // It wakes: its memory is seen by the stream before its processes are listed anew.
  const { length } = world.told;
  world.stream([['g', 5_300]]);
  assert.equal(world.told.length, length, 'told in the middle of the move');
  const held = Promise.withResolvers<void>();
  world.listing = held.promise;
  world.holding = true;
  world.processes = [{ pid: 7, usedMib: 5_000 }];
  world.monitor.launchMoved('a', 'settled', []);
  const asked = world.monitor.measure();
  await settle();
  for (const usedMib of [5_300, 5_301]) world.stream([['g', usedMib]]);
  await settle();
  assert.equal(world.told.length, length, 'told with the list of before the move');
  held.resolve();
  const [answer] = await asked;
  assert.deepEqual(
    [answer?.usedMib, answer?.foreignMib, answer?.launches.get('a')?.usedMib],
    [5_300, 300, 5_000],
  );
  assert.deepEqual(world.told.at(-1), answer);
  world.stream([['g', 5_302]]);
  assert.equal(world.told.at(-1)?.usedMib, 5_302, 'a quiet stream tells again');
  world.monitor.close();
});

const PIDS = { a: 7, b: 107 } as const;
/** Two engines share one device, one awake at a time, and then end. What each holds after each step. */
const SHARING: readonly (readonly ['a' | 'b', number])[] = [
  ['a', 6_000],
  ['a', 400],
  ['b', 5_000],
  ['b', 500],
  ['a', 5_900],
  ['a', 410],
  ['b', 5_000],
  ['b', 0],
  ['a', 6_000],
  ['a', 0],
];

for (const source of ['per_process', 'device_difference'] as const) {
  for (const pauseMs of [0, 30_000]) {
    test(`two engines that start, sleep, wake and stop on one device, ${pauseMs} ms apart, by ${source}`, async () => {
      const world = new World();
      const held = new Map<'a' | 'b', number>();
      const show = (): void => {
        const rows = [...held].map(([id, usedMib]) => ({ pid: PIDS[id], usedMib }));
        world.processes = source === 'per_process' ? rows : null;
        world.usedMib = rows.reduce((sum, { usedMib }) => sum + usedMib, 300);
      };
      show();
      world.monitor.follow();
      await world.goOn(0);
      for (const [step, [id, usedMib]] of SHARING.entries()) {
        world.monitor.launchMoved(id, 'moving', ['g']);
        if (usedMib === 0) held.delete(id);
        else held.set(id, usedMib);
        show();
        // As the control loop does: it looks until memory has settled, tells so, and the next move may begin at once.
        await world.monitor.measure();
        world.monitor.launchMoved(id, usedMib === 0 ? 'gone' : 'settled', []);
        if (pauseMs === 0 && step < SHARING.length - 2) continue;
        await world.goOn(pauseMs);
        const [reading] = await world.monitor.measure();
        assert.deepEqual(
          [...(reading?.launches ?? [])].sort(),
          [...held].map(([name, mib]) => [name, { usedMib: mib, source }] as const).sort(),
        );
        assert.deepEqual([reading?.foreignMib, reading?.foreignSource], [300, source]);
      }
      assert.deepEqual([world.told.at(-1)?.launches.size, world.conditions], [0, []]);
      world.monitor.close();
    });
  }
}

test('a reading that fails is a condition and unknown, and no device is taken for gone', async () => {
  const world = new World();
  world.monitor.follow();
  await world.goOn(0);
  world.usedMib = null;
  world.failure = { code: 'nvidia_driver_unavailable', text: 'it failed' };
  await world.goOn(10_000);
  assert.deepEqual(
    [world.told.at(-1)?.usedMib, world.conditions, world.changes],
    [null, ['nvidia_driver_unavailable'], 0],
  );
  const { reads } = world;
  await world.goOn(29_000);
  assert.equal(world.reads, reads, 'a tool that fails is asked less often');
  world.failure = null;
  await world.goOn(1_000);
  assert.deepEqual([world.conditions, world.changes], [[], 1]);
  world.usedMib = 300;
  await world.goOn(10_000);
  assert.equal(world.changes, 1);
  world.monitor.close();
});

test('M3: after close nothing is told, not even by a reading that was under way', async () => {
  const world = new World(true);
  world.monitor.launchMoved('a', 'moving', ['g']);
  world.monitor.follow();
  world.monitor.close();
  await world.goOn(60_000);
  world.monitor.launchMoved('a', 'settled', []);
  await world.goOn(60_000);
  assert.deepEqual([world.told.length, world.clock.pendingCount, world.sink], [0, 0, null]);
});
