import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeLaunchWorld, settle } from '../../test/fakes/fake-launch.ts';
import { memoryReading } from '../../test/fakes/memory-reading.ts';
import { VirtualClock } from '../core/virtual-clock.ts';
import type { HostMemory, MemoryReading, UseSource } from '../devices/device.ts';
import type { SleepOptions, SleepResult } from '../engines/engine.ts';
import { modelFixture } from '../engines/engine-fixtures.ts';
import { putToSleep, SLEEP_TIMEOUT_MS, type SleepPorts, WAKE_TIMEOUT_MS, wakeUp } from './engine-sleep.ts';
import { SETTLE_LIMIT_MS } from './memory-settling.ts';
import { ROOM_LIMIT_MS } from './room.ts';

const DEVICES = ['g', 'h'];
const DONE: SleepResult = { kind: 'done' };

/** An engine on two devices, whose every answer and figure a test decides. */
class SleepWorld {
  readonly clock = new VirtualClock();
  readonly asked: string[] = [];
  readonly ports: SleepPorts;
  /** What the engine holds on each of its devices, by look; the last one for ever. */
  held: readonly number[] = [9_000];
  source: UseSource | null = 'per_process';
  host: readonly (HostMemory | null)[] = [null];
  sleeps: SleepResult = DONE;
  wakes: SleepResult = DONE;
  warms: SleepResult = DONE;
  #looks = 0;
  #hostLooks = 0;

  constructor(changes: Parameters<typeof modelFixture>[0] = {}) {
    const answer = (what: string, result: () => SleepResult) => async (options: SleepOptions) => {
      this.asked.push(`${what} ${options.level} within ${options.timeoutMs}`);
      return result();
    };
    const sleep = answer('sleep', () => this.sleeps);
    const wake = answer('wake', () => this.wakes);
    this.ports = {
      clock: this.clock,
      engine: {
        ...new FakeLaunchWorld().ports.engine,
        sleep: (_http, options) => sleep(options),
        wake: (_http, options) => wake(options),
        warmUp: async () => {
          this.asked.push('warm up');
          return this.warms;
        },
      },
      http: { request: () => Promise.reject(new Error('nobody asks')) },
      model: modelFixture(changes),
      launchId: 'run-1',
      deviceIds: DEVICES,
      readMemory: async () => this.#readings(),
      readHost: async () => this.host[Math.min(this.#hostLooks++, this.host.length - 1)] ?? null,
      signal: new AbortController().signal,
    };
  }

  #readings(): MemoryReading[] {
    const usedMib = this.held[Math.min(this.#looks++, this.held.length - 1)] ?? 0;
    const { source } = this;
    return DEVICES.map((id) => ({
      ...memoryReading(id, usedMib + 500),
      foreignSource: source,
      launches: new Map(source === null ? [] : [['run-1', { usedMib, source }]]),
    }));
  }

  /** Runs it to its end, however long it takes. */
  async ended<T>(action: Promise<T>): Promise<T> {
    const ending: { result?: T } = {};
    void action.then((result) => {
      ending.result = result;
    });
    await settle();
    while (!('result' in ending) && this.clock.step()) await settle();
    assert.ok('result' in ending && ending.result !== undefined, 'it never ended');
    return ending.result;
  }
}

const wants = (neededMib: number) => DEVICES.map((deviceId) => ({ deviceId, neededMib, totalMib: 10_000 }));

test('it sleeps when its memory is back, and what it left and took is told', async () => {
  const world = new SleepWorld();
  world.held = [9_000, 4_000, 700];
  world.host = [host(5_000, 400), host(14_000, 9_300)];
  const slept = await world.ended(putToSleep(world.ports, 1));
  assert.deepEqual(slept, { kind: 'asleep', residueMib: 700, hostMib: 9_400 });
  assert.deepEqual(world.asked, [`sleep 1 within ${SLEEP_TIMEOUT_MS}`]);
});

function host(usedMib: number, ofItMib: number): HostMemory {
  return { totalMib: 65_536, usedMib, launches: new Map([['run-1', ofItMib]]) };
}

test('an engine that refuses to sleep, or does not answer, has failed', async () => {
  const world = new SleepWorld();
  world.sleeps = { kind: 'failed', detail: '/sleep: no answer within 60 s' };
  assert.deepEqual(await world.ended(putToSleep(world.ports, 1)), world.sleeps);
});

test('a sleep that frees nothing has not happened, whatever the engine says', async () => {
  const world = new SleepWorld();
  world.held = [9_000, 8_900];
  const slept = await world.ended(putToSleep(world.ports, 2));
  assert.equal(slept.kind, 'failed');
  assert.match(slept.kind === 'failed' ? slept.detail : '', /freed only 200 of 18000 MiB on g, h/);
});

test('a driver that frees late is waited for before the sleep is condemned', async () => {
  const world = new SleepWorld();
  world.held = [9_000, 9_000, 9_000, 9_000, 9_000, 600];
  const slept = await world.ended(putToSleep(world.ports, 1));
  assert.deepEqual(slept, { kind: 'asleep', residueMib: 600, hostMib: null });
  assert.ok(world.clock.nowMs() < SETTLE_LIMIT_MS);
});

test('where nobody names processes the devices’ difference decides, and the residue is not known', async () => {
  const world = new SleepWorld();
  world.source = 'device_difference';
  world.held = [9_000, 700];
  assert.deepEqual(await world.ended(putToSleep(world.ports, 1)), {
    kind: 'asleep',
    residueMib: null,
    hostMib: null,
  });
  world.source = null;
  assert.equal((await world.ended(putToSleep(world.ports, 1))).kind, 'asleep', 'nobody can tell');
});

test('it is woken when its devices have room, and warmed before anybody is let in', async () => {
  const world = new SleepWorld();
  // The neighbour's memory is still coming back.
  world.held = [9_000, 9_000, 3_000];
  assert.deepEqual(await world.ended(wakeUp(world.ports, 1, wants(6_000))), { kind: 'awake' });
  assert.deepEqual(world.asked, [`wake 1 within ${WAKE_TIMEOUT_MS}`, 'warm up']);
});

test('from level 2 it has the time of a start; without warm-up nothing is asked of it', async () => {
  const world = new SleepWorld({ warmUp: false, loadTimeoutMs: 900_000 });
  world.held = [0];
  assert.deepEqual(await world.ended(wakeUp(world.ports, 2, wants(6_000))), { kind: 'awake' });
  assert.deepEqual(world.asked, ['wake 2 within 900000']);
});

test('without room it is not asked to wake, and what is free is told', async () => {
  const world = new SleepWorld();
  const woken = await world.ended(wakeUp(world.ports, 1, wants(6_000)));
  assert.deepEqual(woken, {
    kind: 'no_room',
    freeMib: new Map([
      ['g', 500],
      ['h', 500],
    ]),
  });
  assert.deepEqual(world.asked, []);
  assert.equal(world.clock.nowMs(), ROOM_LIMIT_MS);
});

test('a wake that fails, and a first answer that does not come, have failed', async () => {
  const world = new SleepWorld();
  world.held = [0];
  world.wakes = { kind: 'failed', detail: '/wake_up answers 500' };
  assert.deepEqual(await world.ended(wakeUp(world.ports, 1, wants(1))), world.wakes);
  assert.deepEqual(world.asked, [`wake 1 within ${WAKE_TIMEOUT_MS}`], 'it is not warmed');
  world.wakes = DONE;
  world.warms = { kind: 'failed', detail: '/v1/completions answers 500' };
  assert.deepEqual(await world.ended(wakeUp(world.ports, 1, wants(1))), {
    kind: 'failed',
    detail: 'after waking: /v1/completions answers 500',
  });
});

test('a sleep that was begun before is judged by what the engine still holds, where that is known', async () => {
  const world = new SleepWorld();
  const resumed = () => world.ended(putToSleep(world.ports, 1, 9_000));
  world.held = [500];
  assert.deepEqual(await resumed(), { kind: 'asleep', residueMib: 500, hostMib: null });
  world.held = [9_000];
  assert.equal((await resumed()).kind, 'failed');
  world.source = 'device_difference';
  assert.equal((await resumed()).kind, 'asleep');
});
