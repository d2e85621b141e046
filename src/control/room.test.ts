import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle } from '../../test/fakes/fake-launch.ts';
import { memoryReading } from '../../test/fakes/memory-reading.ts';
import { VirtualClock } from '../core/virtual-clock.ts';
import { ROOM_LIMIT_MS, type Room, type RoomWant, untilRoom } from './room.ts';

const WANTS: readonly RoomWant[] = [
  { deviceId: 'g', neededMib: 5_000, totalMib: 8_000 },
  { deviceId: 'h', neededMib: 1_000, totalMib: 4_000 },
];

/** `used` of both devices at a time; answers with the outcome, the time it took and the looks. */
async function watch(
  used: (atMs: number) => readonly [number | null, number | null],
  wants = WANTS,
): Promise<{ room: Room | null; tookMs: number; looks: number }> {
  const clock = new VirtualClock();
  let room: Room | null = null;
  let looks = 0;
  const read = async () => {
    looks += 1;
    const [g, h] = used(clock.nowMs());
    return [memoryReading('g', g), memoryReading('h', h)];
  };
  void untilRoom(read, wants, clock).then((result) => {
    room = result;
  });
  await settle();
  while (room === null && clock.step()) await settle();
  assert.equal(clock.pendingCount, 0);
  return { room, tookMs: clock.nowMs(), looks };
}

test('devices that have the room are looked at once', async () => {
  assert.deepEqual(await watch(() => [3_000, 3_000]), { room: { kind: 'room' }, tookMs: 0, looks: 1 });
});

test('room that comes later on one of them is waited for, with pauses that grow', async () => {
  const { room, tookMs, looks } = await watch((atMs) => [atMs < 2_000 ? 3_001 : 2_000, 0]);
  assert.deepEqual(room, { kind: 'room' });
  assert.ok(tookMs >= 2_000 && tookMs <= 2_500 && looks < 14, `${looks} looks in ${tookMs} ms`);
});

test('too little at the limit says what is free', async () => {
  const { room, tookMs, looks } = await watch(() => [9_000, 3_500]);
  const freeMib = new Map([
    ['g', 0],
    ['h', 500],
  ]);
  assert.deepEqual([room, tookMs], [{ kind: 'short', freeMib }, ROOM_LIMIT_MS]);
  assert.ok(looks < 40, `${looks} looks`);
});

test('a device that does not tell, and a reading that fails, are not waited for', async () => {
  assert.deepEqual((await watch(() => [0, null])).room, { kind: 'unknown' });
  assert.deepEqual((await watch((atMs) => [atMs < 100 ? 8_000 : null, 0])).room, { kind: 'unknown' });
  const failing = await untilRoom(() => Promise.reject(new Error('no')), WANTS, new VirtualClock());
  assert.deepEqual(failing, { kind: 'unknown' });
});

test('an engine without devices has its room', async () => {
  assert.deepEqual((await watch(() => [null, null], [])).room, { kind: 'room' });
});
