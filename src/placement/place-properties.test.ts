/** Random small worlds: `place` against an optimum by trying everything; wrong choosers are caught by the same check. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { keyMs, lackMib, mayTake, optimum } from './optimum-fixtures.ts';
import {
  type DeviceView,
  type Placement,
  type PlacementNeed,
  place,
  type ResidentView,
  type WayOut,
} from './place.ts';
import { device } from './view-fixtures.ts';

type Chooser = (need: PlacementNeed, devices: readonly DeviceView[]) => Placement;
type Eviction = Extract<Placement, { kind: 'evict' }>;

interface World {
  readonly need: PlacementNeed;
  readonly devices: readonly DeviceView[];
}

const IDS = ['a', 'b', 'c', 'd'] as const;
const idSet = fc.subarray([...IDS], { minLength: 1 });

const ways = fc
  .tuple(
    fc.record({ freesMib: fc.integer({ min: 5, max: 20 }), takesMs: fc.nat(6), lossMs: fc.nat(20) }),
    fc.option(fc.record({ lessMib: fc.nat(8), takesMs: fc.nat(9), lossMs: fc.nat(20) })),
  )
  .map(([stop, sleep]): readonly WayOut[] => [
    ...(sleep === null
      ? []
      : [{ ...sleep, how: 'sleep' as const, freesMib: Math.max(0, stop.freesMib - sleep.lessMib) }]),
    { ...stop, how: 'stop' as const },
  ]);

const resident = fc.record({
  deviceIds: idSet,
  yieldsInMs: fc.constantFrom(0, 0, 0, 0, 4, 4, 9, Number.POSITIVE_INFINITY),
  ways,
});

const shell = fc.record({
  pool: fc.constantFrom('x', 'x', 'x', 'x', 'y'),
  totalMib: fc.constantFrom(40, 40, 40, 40, 40, 60),
  unusableMib: fc.nat(5),
  foreignMib: fc.constantFrom(0, 0, 0, 0, 3, 30),
  residueMib: fc.nat(3),
  moving: fc.constantFrom(false, false, false, true),
  held: fc.constantFrom(false, false, false, false, false, false, true),
  leaving: fc.array(
    fc.record({
      memoryMib: fc.integer({ min: 1, max: 12 }),
      inMs: fc.constantFrom(0, 3, 3, 3, 7, 7, 7, 7, 7, Number.POSITIVE_INFINITY),
    }),
    { maxLength: 2 },
  ),
});

const worlds: fc.Arbitrary<World> = fc
  .record({
    shells: fc.array(shell, { minLength: 2, maxLength: 4, size: 'max' }),
    residents: fc.array(resident, { maxLength: 6, size: 'max' }),
    need: fc.record({
      deviceCount: fc.constantFrom(1, 2, 2, 2, 3),
      pool: fc.constantFrom(null, null, null, 'x'),
      leastMibPerDevice: fc.constant(0),
      memoryMibPerDevice: fc.option(fc.integer({ min: 5, max: 40 }), { freq: 6 }),
      laterMs: fc.constant(0),
      onlyOn: fc.oneof({ weight: 7, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: idSet }),
    }),
  })
  .map(({ shells, residents, need }) => {
    const views = residents.map((view, index): ResidentView => ({ ...view, model: `m${index}` }));
    return {
      need: { ...need, deviceCount: need.onlyOn?.length ?? need.deviceCount },
      devices: shells.map(({ unusableMib, foreignMib, residueMib, ...rest }, index) => {
        const id = IDS[index] ?? '';
        const here = views.filter((view) => view.deviceIds.includes(id));
        const parts = [
          ...here.map((view) => largestMib(view)),
          ...rest.leaving.map((part) => part.memoryMib),
        ];
        const budgetMib = rest.totalMib - unusableMib;
        return device(id, {
          ...rest,
          budgetMib,
          availableMib: Math.min(budgetMib, rest.totalMib - foreignMib),
          reservedMib: parts.reduce((sum, mib) => sum + mib, residueMib),
          residents: here,
        });
      }),
    };
  });

function largestMib(view: ResidentView): number {
  return Math.max(...view.ways.map((way) => way.freesMib));
}

interface Gone {
  readonly resident: ResidentView;
  readonly way: WayOut;
}

/** What is wrong with the choice; null: nothing. */
function fault({ need, devices }: World, choose: Chooser): string | null {
  const best = optimum(need, devices);
  const placement = choose(need, devices);
  if (placement.kind !== best.kind) return `${placement.kind} instead of ${best.kind}`;
  if (placement.kind === 'free' || placement.kind === 'evict') {
    const set = devices.filter((view) => placement.deviceIds.includes(view.id));
    if (set.length !== placement.deviceIds.length || !mayTake(need, set)) return 'not such devices';
    if (set.some((view) => view.held)) return 'a held device';
    if (placement.kind === 'free') {
      return set.some((view) => view.moving || lackMib(need, view) > 0) ? 'not free' : null;
    }
    if (best.kind === 'evict') return evictionFault(need, set, placement, best);
  }
  return null;
}

function evictionFault(
  need: PlacementNeed,
  set: readonly DeviceView[],
  placement: Eviction,
  best: { readonly atMs: number; readonly lossMs: number },
): string | null {
  const gone: Gone[] = [];
  for (const victim of placement.victims) {
    const view = set.flatMap(({ residents }) => residents).find(({ model }) => model === victim.model);
    const way = view?.ways.find(({ how }) => how === victim.how);
    if (view === undefined || way === undefined) return `${victim.model} is not on these devices`;
    if (gone.some(({ resident: other }) => other.model === victim.model)) return `${victim.model} twice`;
    if (keyMs(view) > best.atMs) return `${victim.model} cannot be out by ${best.atMs}`;
    gone.push({ resident: view, way });
  }
  if (!suffices(need, set, gone, best.atMs)) return 'not enough memory';
  const lossMs = gone.reduce((sum, { way }) => sum + way.lossMs, 0);
  if (lossMs !== best.lossMs) return `loss ${lossMs} instead of ${best.lossMs}`;
  for (const spared of gone) {
    const rest = gone.filter((other) => other !== spared);
    if (suffices(need, set, rest, best.atMs)) return `${spared.resident.model} goes for nothing`;
  }
  const victimsInMs = Math.max(0, ...gone.map((victim) => victim.resident.yieldsInMs));
  if (placement.victimsInMs !== victimsInMs) return `victims in ${placement.victimsInMs}`;
  const outMs = Math.max(0, ...gone.map((victim) => victim.resident.yieldsInMs + victim.way.takesMs));
  const moments = [outMs, ...set.flatMap(({ leaving }) => leaving.map((part) => part.inMs))];
  const inMs = Math.min(
    ...moments.filter((atMs) => atMs >= outMs && suffices(need, set, gone, Math.min(atMs, best.atMs))),
  );
  return placement.inMs === inMs ? null : `room in ${placement.inMs} instead of ${inMs}`;
}

/** Whether each device has enough when these are gone and what leaves by `atMs` has left. */
function suffices(
  need: PlacementNeed,
  set: readonly DeviceView[],
  gone: readonly Gone[],
  atMs: number,
): boolean {
  return set.every((view) => {
    const left = view.leaving.reduce((sum, part) => (part.inMs <= atMs ? sum + part.memoryMib : sum), 0);
    const freed = gone.reduce(
      (sum, victim) => (victim.resident.deviceIds.includes(view.id) ? sum + victim.way.freesMib : sum),
      0,
    );
    return left + freed >= lackMib(need, view);
  });
}

/** Looks for a world in which the choice has such a fault. */
function check(choose: Chooser, expected: RegExp): fc.RunDetails<[World]> {
  const property = fc.property(worlds, (world) => {
    const found = fault(world, choose);
    assert.ok(found === null || !expected.test(found), found ?? '');
  });
  return fc.check(property, { numRuns: 4_000, seed: 7, endOnFailure: true });
}

test('the placement is as soon and as cheap as the best of all, with enough memory and nobody gone for nothing', () => {
  const details = check(place, /./);
  assert.equal(details.failed, false, fc.defaultReportMessage(details) ?? '');
});

test('the worlds are worth checking', () => {
  const evictions = fc.sample(worlds, { numRuns: 500, seed: 7 }).flatMap(({ need, devices }) => {
    const placement = place(need, devices);
    return placement.kind === 'evict' ? [placement] : [];
  });
  const many = (count: number): number => evictions.filter(({ victims }) => victims.length >= count).length;
  assert.ok(evictions.length >= 100, `${evictions.length} of 500 worlds evict`);
  assert.ok(many(2) >= 20, `${many(2)} of 500 worlds take two victims or more`);
  const sleepers = evictions.filter(({ victims }) => victims.some(({ how }) => how === 'sleep')).length;
  assert.ok(sleepers >= 20, `${sleepers} of 500 worlds put an engine to sleep`);
  const several = evictions.filter(({ deviceIds }) => deviceIds.length > 1).length;
  assert.ok(several >= 50, `${several} of 500 worlds evict from several devices`);
});

/** Each device chooses for itself, and the cheapest devices are taken: an engine on two of them counts twice. */
const eachForItself: Chooser = (need, devices) => {
  const whole = place(need, devices);
  if (whole.kind !== 'evict') return whole;
  const alone = devices
    .filter((view) => mayTake({ ...need, onlyOn: [view.id] }, [view]))
    .flatMap((view) => {
      const placement = place({ ...need, deviceCount: 1, onlyOn: [view.id] }, [{ ...view, moving: true }]);
      return placement.kind === 'evict' ? [{ view, placement, lossMs: lossOn(view, placement) }] : [];
    })
    .sort((a, b) => a.placement.inMs - b.placement.inMs || a.lossMs - b.lossMs);
  const chosen = alone.slice(0, need.deviceCount);
  const victims = new Map(
    chosen.flatMap(({ placement }) => placement.victims).map((victim) => [victim.model, victim]),
  );
  return {
    kind: 'evict',
    deviceIds: chosen.map(({ view }) => view.id),
    victims: [...victims.values()],
    victimsInMs: Math.max(...chosen.map(({ placement }) => placement.victimsInMs)),
    inMs: Math.max(...chosen.map(({ placement }) => placement.inMs)),
  };
};

function lossOn(view: DeviceView, placement: Eviction): number {
  return placement.victims.reduce((sum, victim) => {
    const known = view.residents.find(({ model }) => model === victim.model);
    return sum + (known?.ways.find(({ how }) => how === victim.how)?.lossMs ?? 0);
  }, 0);
}

function withResidents(devices: readonly DeviceView[], change: (view: ResidentView) => ResidentView) {
  return devices.map((view) => ({ ...view, residents: view.residents.map(change) }));
}

/** Wrong choosers and the fault that each is to be caught by. */
const MUTANTS: readonly { readonly name: string; readonly choose: Chooser; readonly fault: RegExp }[] = [
  { name: 'each device for itself', choose: eachForItself, fault: /^loss/ },
  {
    name: 'nobody sleeps',
    choose: (need, devices) =>
      place(
        need,
        withResidents(devices, (view) => withWays(view, 'stop')),
      ),
    fault: /^loss/,
  },
  {
    name: 'nobody who can sleep is stopped',
    choose: (need, devices) =>
      place(
        need,
        withResidents(devices, (view) => withWays(view, 'sleep')),
      ),
    fault: /^(blocked instead of evict|loss)/,
  },
  {
    name: 'losses do not count',
    choose: (need, devices) => place(need, withResidents(devices, withoutLosses)),
    fault: /^loss/,
  },
  {
    name: 'held devices are taken',
    choose: (need, devices) =>
      place(
        need,
        devices.map((view) => ({ ...view, held: false })),
      ),
    fault: /^a held device/,
  },
  {
    name: 'what leaves is not counted on',
    choose: (need, devices) =>
      place(
        need,
        devices.map((view) => ({ ...view, leaving: [] })),
      ),
    fault: /goes for nothing|^loss/,
  },
  {
    name: 'a victim too many',
    choose: (need, devices) => {
      const placement = place(need, devices);
      if (placement.kind !== 'evict') return placement;
      const spared = devices
        .filter((view) => placement.deviceIds.includes(view.id))
        .flatMap((view) => view.residents)
        .find((view) => placement.victims.every(({ model }) => model !== view.model));
      const more = spared === undefined ? [] : [{ model: spared.model, how: 'stop' as const }];
      return { ...placement, victims: [...placement.victims, ...more] };
    },
    fault: /goes for nothing/,
  },
];

function withWays(view: ResidentView, how: WayOut['how']): ResidentView {
  const left = view.ways.filter((way) => way.how === how);
  return { ...view, ways: left.length === 0 ? view.ways : left };
}

function withoutLosses(view: ResidentView): ResidentView {
  return { ...view, ways: view.ways.map((way) => ({ ...way, lossMs: 0 })) };
}

for (const { name, choose, fault: expected } of MUTANTS) {
  test(`the check catches a wrong chooser: ${name}`, () => {
    assert.equal(check(choose, expected).failed, true);
  });
}

test('the check catches the double payment itself', () => {
  const pair: ResidentView = {
    model: 'pair',
    deviceIds: ['a', 'b'],
    yieldsInMs: 0,
    ways: [{ how: 'stop', freesMib: 10, takesMs: 1, lossMs: 6 }],
  };
  const single = {
    ...pair,
    model: 'single',
    deviceIds: ['c'],
    ways: pair.ways.map((way) => ({ ...way, lossMs: 5 })),
  };
  const full = { totalMib: 10, budgetMib: 10, reservedMib: 10 };
  const devices = [
    device('a', { ...full, residents: [pair] }),
    device('b', { ...full, residents: [pair] }),
    device('c', { ...full, residents: [single] }),
  ];
  const need = {
    deviceCount: 2,
    pool: null,
    memoryMibPerDevice: 10,
    leastMibPerDevice: 0,
    onlyOn: null,
    laterMs: 0,
  };
  assert.equal(fault({ need, devices }, place), null);
  assert.equal(fault({ need, devices }, eachForItself), 'loss 11 instead of 6');
});
