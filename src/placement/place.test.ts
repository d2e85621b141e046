import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DeviceView, type PlacementNeed, place, type ResidentView } from './place.ts';
import { device, resident, sleep, stop } from './view-fixtures.ts';

/** An engine on device a alone, which can only be stopped. */
function stoppable(
  model: string,
  changes: Partial<ResidentView> & { lossMs?: number; freesMib?: number } = {},
) {
  const { lossMs = 100, freesMib = 10_000, ...rest } = changes;
  return resident(model, { ways: [stop(freesMib, lossMs)], ...rest });
}

const NEED: PlacementNeed = {
  deviceCount: 1,
  pool: null,
  memoryMibPerDevice: 12_000,
  leastMibPerDevice: 0,
  onlyOn: null,
  laterMs: 0,
};

test('the fullest device that still has room is taken', () => {
  const placement = place(NEED, [
    device('a'),
    device('b', { reservedMib: 8_000 }),
    device('c', { reservedMib: 9_000 }),
  ]);
  assert.deepEqual(placement, { kind: 'free', deviceIds: ['b'], memoryMibPerDevice: 12_000 });
});

test('a device on which an engine moves is not free', () => {
  const placement = place(NEED, [device('a', { moving: true })]);
  assert.equal(placement.kind, 'evict');
});

test('only devices of the pool count', () => {
  const devices = [device('a', { pool: 'x' }), device('b', { pool: 'y' })];
  const placement = place({ ...NEED, pool: 'y' }, devices);
  assert.deepEqual(placement.kind === 'free' && placement.deviceIds, ['b']);
  assert.equal(place({ ...NEED, pool: 'z' }, devices).kind, 'never');
});

test('room that is had at once beats a smaller loss later', () => {
  const placement = place(NEED, [
    device('a', { reservedMib: 10_000, residents: [stoppable('busy', { yieldsInMs: 5_000, lossMs: 1 })] }),
    device('b', { reservedMib: 10_000, residents: [stoppable('idle', { lossMs: 900 })] }),
  ]);
  assert.deepEqual(placement, {
    kind: 'evict',
    deviceIds: ['b'],
    victims: [{ model: 'idle', how: 'stop' }],
    victimsInMs: 0,
    inMs: 500,
  });
});

test('room is waited for where that spares others more than it costs, and no longer than allowed', () => {
  const devices = [
    device('a', { reservedMib: 10_000, residents: [stoppable('busy', { yieldsInMs: 5_000, lossMs: 1 })] }),
    device('b', { reservedMib: 10_000, residents: [stoppable('dear', { lossMs: 12_000 })] }),
  ];
  const victims = (laterMs: number): unknown => {
    const placement = place({ ...NEED, laterMs }, devices);
    return placement.kind === 'evict' && placement.victims.map(({ model }) => model);
  };
  assert.deepEqual(victims(6_000), ['busy']);
  assert.deepEqual(victims(4_000), ['dear']);
  const cheap = device('b', { reservedMib: 10_000, residents: [stoppable('cheap', { lossMs: 9_000 })] });
  const placement = place({ ...NEED, laterMs: 60_000 }, [...devices.slice(0, 1), cheap]);
  assert.deepEqual(placement.kind === 'evict' && placement.deviceIds, ['b']);
});

test('memory that is leaving already asks for no more victims', () => {
  const leaving = [{ memoryMib: 12_000, inMs: 400 }];
  const residents = [stoppable('other', { freesMib: 8_000, yieldsInMs: 9_000 })];
  const placement = place(NEED, [device('a', { reservedMib: 20_000, leaving, residents })]);
  assert.deepEqual(placement, { kind: 'evict', deviceIds: ['a'], victims: [], victimsInMs: 0, inMs: 400 });
});

test('an idle engine elsewhere beats a drain under way, and a stop that cannot be verified counts for nothing', () => {
  const draining = device('a', { reservedMib: 20_000, leaving: [{ memoryMib: 12_000, inMs: 60_000 }] });
  const idle = device('b', { reservedMib: 20_000, residents: [stoppable('idle', { freesMib: 20_000 })] });
  assert.deepEqual(place(NEED, [draining, idle]), {
    kind: 'evict',
    deviceIds: ['b'],
    victims: [{ model: 'idle', how: 'stop' }],
    victimsInMs: 0,
    inMs: 500,
  });
  const stuck = device('a', {
    reservedMib: 20_000,
    leaving: [{ memoryMib: 12_000, inMs: Number.POSITIVE_INFINITY }],
  });
  assert.deepEqual(place(NEED, [stuck]), {
    kind: 'blocked',
    why: 'engines whose stop could not be verified hold 12000 MiB of the possible devices',
  });
});

test('several devices of one engine are of one size', () => {
  const need = { ...NEED, deviceCount: 2 };
  const mixed = [device('a'), device('b', { totalMib: 48_000, budgetMib: 45_000 })];
  assert.match(JSON.stringify(place(need, mixed)), /never.*2 devices of one size/);
  const placement = place(need, [...mixed, device('c', { totalMib: 48_000, budgetMib: 45_000 })]);
  assert.deepEqual(placement.kind === 'free' && placement.deviceIds, ['b', 'c']);
});

test('engines that never give way block, and the reason says so', () => {
  const always = device('a', {
    reservedMib: 10_000,
    residents: [stoppable('always', { yieldsInMs: Number.POSITIVE_INFINITY })],
  });
  assert.deepEqual(place(NEED, [always]), {
    kind: 'blocked',
    why: 'every possible device is taken by engines that never give way',
  });
  assert.match(JSON.stringify(place(NEED, [device('a', { held: true })])), /set aside for models ahead/);
});

test('a need for whole devices takes the budget of each, and only empty ones', () => {
  const whole = { ...NEED, deviceCount: 2, memoryMibPerDevice: null };
  const placement = place(whole, [
    device('a'),
    device('b', { budgetMib: 18_000 }),
    device('c', { reservedMib: 1 }),
  ]);
  assert.deepEqual(placement, { kind: 'free', deviceIds: ['b', 'a'], memoryMibPerDevice: 18_000 });
});

test('what can never fit is told with the numbers', () => {
  const placement = place({ ...NEED, memoryMibPerDevice: 30_000 }, [device('a'), device('b')]);
  assert.deepEqual(placement, {
    kind: 'never',
    why: 'it needs 30000 MiB on 1 device, and the devices offer a 20000 MiB, b 20000 MiB',
  });
  const why = (need: Partial<PlacementNeed>, devices: readonly DeviceView[]): string => {
    const placed = place({ ...NEED, ...need }, devices);
    return placed.kind === 'never' ? placed.why : placed.kind;
  };
  assert.equal(
    why({ pool: 'p', deviceCount: 2 }, [device('a', { pool: 'p' })]),
    `it needs ${NEED.memoryMibPerDevice} MiB on 2 devices of one size, and pool p offers a 20000 MiB`,
  );
  assert.match(
    why({ pool: 'q' }, [device('a', { pool: 'p' })]),
    /on 1 device, and pool q has no device that is there: its devices are missing, or have other ids/,
  );
  assert.match(why({}, []), /and there is no device: .*doctor/);
});

test('foreign programs leave less room, and a whole device is what they leave of it, down to half', () => {
  const whole = { ...NEED, memoryMibPerDevice: null };
  assert.deepEqual(place(whole, [device('a', { availableMib: 15_000 })]), {
    kind: 'free',
    deviceIds: ['a'],
    memoryMibPerDevice: 15_000,
  });
  const crowded = device('a', { availableMib: 9_000 });
  assert.deepEqual(place(whole, [crowded]), {
    kind: 'blocked',
    why: 'programs that are not ours take 11000 MiB of the budget of the possible devices',
  });
  assert.equal(place(NEED, [crowded]).kind, 'blocked');
});

test('an engine that is stopping already is waited for rather than another one stopped too', () => {
  const stopping = device('a', {
    reservedMib: 20_000,
    leaving: [{ memoryMib: 10_000, inMs: 300 }],
    residents: [stoppable('idle')],
  });
  const need = { ...NEED, memoryMibPerDevice: 8_000 };
  assert.deepEqual(place(need, [stopping]), {
    kind: 'evict',
    deviceIds: ['a'],
    victims: [],
    victimsInMs: 0,
    inMs: 300,
  });
});

test('an engine that only sleeps is preferred where that frees enough, and stopped where it does not', () => {
  const ways = [sleep(15_000, 50), stop(20_000, 4_000)];
  const full = device('a', { reservedMib: 20_000, residents: [resident('big', { ways })] });
  const asleep = place(NEED, [full]);
  assert.deepEqual(asleep.kind === 'evict' && asleep.victims, [{ model: 'big', how: 'sleep' }]);
  const stopped = place({ ...NEED, memoryMibPerDevice: 16_000 }, [full]);
  assert.deepEqual(stopped.kind === 'evict' && stopped.victims, [{ model: 'big', how: 'stop' }]);
});

test('a quick stop does not beat a slower but far cheaper sleep, and the room is expected when the sleep is over', () => {
  const ways = [{ ...sleep(18_000, 50), takesMs: 2_000 }, stop(20_000, 4_000)];
  const full = device('a', { reservedMib: 20_000, residents: [resident('big', { ways })] });
  assert.deepEqual(place(NEED, [full]), {
    kind: 'evict',
    deviceIds: ['a'],
    victims: [{ model: 'big', how: 'sleep' }],
    victimsInMs: 0,
    inMs: 2_000,
  });
});

test('an engine on several devices is paid once, so its devices are taken together', () => {
  const pair = resident('pair', { deviceIds: ['a', 'c'], ways: [stop(15_000, 150)] });
  const placement = place({ ...NEED, deviceCount: 2 }, [
    device('a', { reservedMib: 15_000, residents: [pair] }),
    device('b', {
      reservedMib: 15_000,
      residents: [resident('small', { deviceIds: ['b'], ways: [stop(15_000, 100)] })],
    }),
    device('c', { reservedMib: 15_000, residents: [pair] }),
  ]);
  assert.deepEqual(placement, {
    kind: 'evict',
    deviceIds: ['a', 'c'],
    victims: [{ model: 'pair', how: 'stop' }],
    victimsInMs: 0,
    inMs: 500,
  });
});

test('a model that sleeps is placed exactly where it sleeps, whatever the sizes, the pools and other room', () => {
  const need = { ...NEED, deviceCount: 2, pool: 'x', onlyOn: ['c', 'a'] };
  const large = { totalMib: 48_000, budgetMib: 45_000 };
  const devices = [device('a'), device('b'), device('c', large), device('d', { reservedMib: 5_000 })];
  assert.deepEqual(place(need, devices), {
    kind: 'free',
    deviceIds: ['c', 'a'],
    memoryMibPerDevice: 12_000,
  });
  const shared = device('a', { reservedMib: 15_000, residents: [stoppable('other')] });
  const evicted = place(need, [shared, ...devices.slice(1)]);
  assert.deepEqual(evicted.kind === 'evict' && evicted.deviceIds, ['c', 'a']);
  assert.deepEqual(place(need, [device('a', { held: true }), ...devices.slice(1)]), {
    kind: 'blocked',
    why: 'it sleeps on c, a and wakes nowhere else: 1 of 2 possible devices are set aside for models ahead of it',
  });
  assert.deepEqual(place(need, [device('a', { budgetMib: 9_000 }), device('b')]), {
    kind: 'never',
    why: 'it sleeps on c, a and wakes nowhere else; it needs 12000 MiB on each of them, but c is not there, a offers 9000 MiB',
  });
});

test('also among too many devices for all sets, those of one large engine are taken together', () => {
  const ids = Array.from({ length: 16 }, (_, index) => `d${index}`);
  const odd = ids.filter((_, index) => index % 2 === 1);
  const large = resident('large', { deviceIds: odd, ways: [stop(20_000, 500)] });
  const devices = ids.map((id) => {
    const small = resident(`on-${id}`, { deviceIds: [id], ways: [stop(20_000, 100)] });
    return device(id, { reservedMib: 20_000, residents: [odd.includes(id) ? large : small] });
  });
  const placement = place({ ...NEED, deviceCount: 8 }, devices);
  assert.deepEqual(placement.kind === 'evict' && placement.deviceIds, odd);
  assert.deepEqual(placement.kind === 'evict' && placement.victims, [{ model: 'large', how: 'stop' }]);
});
