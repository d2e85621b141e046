import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle } from '../../test/fakes/fake-launch.ts';
import { memoryReading } from '../../test/fakes/memory-reading.ts';
import { VirtualClock } from '../core/virtual-clock.ts';
import type { LaunchUse, MemoryReading, UseSource } from '../devices/device.ts';
import {
  SETTLE_LIMIT_MS,
  type Settling,
  settledUse,
  sleepFreed,
  untilMemorySettled,
  useWithout,
} from './memory-settling.ts';

/** Plays one figure a look, the last one for ever; answers with the outcome and the time it took. */
async function watch(
  figures: readonly (number | null)[],
): Promise<{ outcome: Settling | null; tookMs: number }> {
  const clock = new VirtualClock();
  let look = 0;
  let outcome: Settling | null = null;
  const read = async () => [memoryReading('g', figures[Math.min(look++, figures.length - 1)] ?? null)];
  void untilMemorySettled(read, ['g'], clock).then((result) => {
    outcome = result;
  });
  await settle();
  while (outcome === null && clock.step()) await settle();
  return { outcome, tookMs: clock.nowMs() };
}

test('memory that no longer falls has settled', async () => {
  assert.deepEqual(await watch([9_000, 9_000]), { outcome: 'settled', tookMs: 10 });
  assert.deepEqual(await watch([9_000, 5_000, 1_000, 990]), { outcome: 'settled', tookMs: 110 });
});

test('a device that does not tell is not waited for', async () => {
  assert.deepEqual(await watch([null]), { outcome: 'unknown', tookMs: 0 });
});

test('memory that falls for ever is waited for up to the limit', async () => {
  const falling = Array.from({ length: 1_000 }, (_, index) => 1_000_000 - 100 * index);
  const { outcome, tookMs } = await watch(falling);
  assert.deepEqual([outcome, tookMs], ['falling', SETTLE_LIMIT_MS + 10]);
});

test('the last look comes with the outcome', async () => {
  const clock = new VirtualClock();
  const looking = settledUse(async () => [memoryReading('g', 700)], ['g'], clock);
  await settle();
  while (clock.step()) await settle();
  assert.deepEqual(await looking, { settling: 'settled', readings: [memoryReading('g', 700)] });
  const failed = await settledUse(() => Promise.reject(new Error('no')), ['g'], clock);
  assert.deepEqual(failed, { settling: 'unknown', readings: [] });
});

/** The device `id`, of which the launch `a` has so much by its processes, or by the device's difference. */
function reading(id: string, usedMib: number | null, own: number | null, source: UseSource): MemoryReading {
  const launches = new Map<string, LaunchUse>(own === null ? [] : [['a', { usedMib: own, source }]]);
  const foreign = usedMib === null ? null : usedMib - (own ?? 0);
  return { id, usedMib, foreignMib: foreign, foreignSource: foreign === null ? null : source, launches };
}

const told = (id: string, usedMib: number, own: number | null) => reading(id, usedMib, own, 'per_process');
const byDevice = (id: string, usedMib: number | null) => reading(id, usedMib, null, 'device_difference');

const SLEEPS: readonly (readonly [
  string,
  readonly MemoryReading[],
  readonly MemoryReading[],
  number | null,
])[] = [
  ['its processes, whatever others do', [told('g', 9_000, 8_000)], [told('g', 4_400, 400)], 7_600],
  ['its processes, none of which is left', [told('g', 9_000, 8_000)], [told('g', 1_000, null)], 8_000],
  ['the device', [byDevice('g', 9_000)], [byDevice('g', 1_400)], 7_600],
  [
    'the device, where only one reading tells processes',
    [told('g', 9_000, 8_000)],
    [byDevice('g', 1_500)],
    7_500,
  ],
  [
    'the sum of two devices, each in its way',
    [told('g', 9_000, 8_000), byDevice('h', 6_000)],
    [told('g', 1_400, 400), byDevice('h', 1_000)],
    12_600,
  ],
  ['a device that does not tell', [byDevice('g', null)], [byDevice('g', 1_000)], null],
  ['a device that is missing', [byDevice('g', 9_000)], [], null],
  ['others took more than it gave', [byDevice('g', 5_000)], [byDevice('g', 6_000)], 0],
];

for (const [title, before, after, freedMib] of SLEEPS) {
  test(`a sleep freed: ${title}`, () => {
    const deviceIds = before.map(({ id }) => id);
    assert.equal(sleepFreed({ launchId: 'a', deviceIds, before, after }), freedMib);
  });
}

test('a sleep freed: an engine without devices frees nothing that could be told', () => {
  assert.equal(sleepFreed({ launchId: 'a', deviceIds: [], before: [], after: [] }), null);
});

test('one look is enough when everything is back that was awaited; else it is waited for as ever', async () => {
  const clock = new VirtualClock();
  const before = [reading('g', 9_700, 9_000, 'per_process')];
  const awaited = useWithout('a', ['g'], before);
  assert.deepEqual(awaited, new Map([['g', 700]]));
  const back = await settledUse(async () => [memoryReading('g', 740)], ['g'], clock, awaited);
  assert.deepEqual([back.settling, clock.nowMs()], ['settled', 0]);
  const looking = settledUse(async () => [memoryReading('g', 800)], ['g'], clock, awaited);
  await settle();
  while (clock.step()) await settle();
  assert.deepEqual([(await looking).settling, clock.nowMs()], ['settled', 10]);
});

test('what stays without a launch is known only where its processes are', () => {
  assert.equal(useWithout('a', ['g'], [reading('g', 9_700, 9_000, 'device_difference')]), null);
  assert.equal(useWithout('a', ['g', 'h'], [reading('g', 9_700, 9_000, 'per_process')]), null);
});
