import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DeviceView, place, type ResidentView } from './place.ts';

function device(id: string, changes: Partial<DeviceView> = {}): DeviceView {
  return {
    id,
    pool: null,
    totalMib: 24_000,
    budgetMib: 20_000,
    availableMib: changes.budgetMib ?? 20_000,
    reservedMib: 0,
    leaving: [],
    moving: false,
    held: false,
    residents: [],
    ...changes,
  };
}

function resident(model: string, changes: Partial<ResidentView> = {}): ResidentView {
  return { model, memoryMib: 10_000, yieldsInMs: 0, stopMs: 500, lossMs: 100, ...changes };
}

const NEED = { deviceCount: 1, pool: null, memoryMibPerDevice: 12_000 };

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
    device('a', { reservedMib: 10_000, residents: [resident('busy', { yieldsInMs: 5_000, lossMs: 1 })] }),
    device('b', { reservedMib: 10_000, residents: [resident('idle', { lossMs: 900 })] }),
  ]);
  assert.deepEqual(placement, {
    kind: 'evict',
    deviceIds: ['b'],
    victims: ['idle'],
    victimsInMs: 0,
    inMs: 500,
  });
});

test('memory that is leaving already asks for no more victims', () => {
  const leaving = [{ memoryMib: 12_000, inMs: 400 }];
  const residents = [resident('other', { memoryMib: 8_000, yieldsInMs: 9_000 })];
  const placement = place(NEED, [device('a', { reservedMib: 20_000, leaving, residents })]);
  assert.deepEqual(placement, { kind: 'evict', deviceIds: ['a'], victims: [], victimsInMs: 0, inMs: 400 });
});

test('an idle engine elsewhere beats a drain under way, and a stop that cannot be verified counts for nothing', () => {
  const draining = device('a', { reservedMib: 20_000, leaving: [{ memoryMib: 12_000, inMs: 60_000 }] });
  const idle = device('b', { reservedMib: 20_000, residents: [resident('idle', { memoryMib: 20_000 })] });
  assert.deepEqual(place(NEED, [draining, idle]), {
    kind: 'evict',
    deviceIds: ['b'],
    victims: ['idle'],
    victimsInMs: 0,
    inMs: 500,
  });
  const stuck = device('a', {
    reservedMib: 20_000,
    leaving: [{ memoryMib: 12_000, inMs: Number.POSITIVE_INFINITY }],
  });
  assert.equal(place(NEED, [stuck]).kind, 'blocked');
});

test('several devices of one engine are of one size', () => {
  const need = { deviceCount: 2, pool: null, memoryMibPerDevice: 12_000 };
  const mixed = [device('a'), device('b', { totalMib: 48_000, budgetMib: 45_000 })];
  assert.match(JSON.stringify(place(need, mixed)), /never.*2 device\(s\) of one size/);
  const placement = place(need, [...mixed, device('c', { totalMib: 48_000, budgetMib: 45_000 })]);
  assert.deepEqual(placement.kind === 'free' && placement.deviceIds, ['b', 'c']);
});

test('engines that never give way block, and the reason says so', () => {
  const always = device('a', {
    reservedMib: 10_000,
    residents: [resident('always', { yieldsInMs: Number.POSITIVE_INFINITY })],
  });
  assert.deepEqual(place(NEED, [always]), {
    kind: 'blocked',
    why: 'every possible device is taken by engines that never give way',
  });
  assert.match(JSON.stringify(place(NEED, [device('a', { held: true })])), /set aside for models ahead/);
});

test('a need for whole devices takes the budget of each, and only empty ones', () => {
  const whole = { deviceCount: 2, pool: null, memoryMibPerDevice: null };
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
    why: 'it needs 30000 MiB on 1 device(s), and the devices offer a 20000 MiB, b 20000 MiB',
  });
});

test('foreign programs leave less room, and a whole device is what they leave of it, down to half', () => {
  const whole = { deviceCount: 1, pool: null, memoryMibPerDevice: null };
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
    residents: [resident('idle')],
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
