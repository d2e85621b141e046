import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EvenedLosses, type UsedResident } from './even-losses.ts';

function resident(model: string, lastUseMs: number, sleepMs: number, stopMs: number): UsedResident {
  const ways = [
    { how: 'sleep', freesMib: 9_000, takesMs: 700, lossMs: sleepMs },
    { how: 'stop', freesMib: 10_000, takesMs: 200, lossMs: stopMs },
  ] as const;
  return { view: { model, deviceIds: ['gpu-0'], yieldsInMs: 0, ways }, lastUseMs };
}

function losses(losing: Pick<EvenedLosses, 'of'>, some: readonly UsedResident[], how: 'sleep' | 'stop') {
  const views = losing.of(some).map(({ model, ways }) => ({
    model,
    lossMs: ways.find((way) => way.how === how)?.lossMs ?? Number.NaN,
  }));
  return views.toSorted((a, b) => a.lossMs - b.lossMs).map(({ model }) => model);
}

test('about equal losses follow the last use, in each way of going by itself', () => {
  // Its stop is measured to cost a little more, its sleep a little less: chance in both.
  const late = resident('late', 2_000, 1_456, 14_300);
  const early = resident('early', 1_000, 1_457, 14_273);
  const evened = new EvenedLosses([late, early]);
  assert.deepEqual(losses(evened, [late, early], 'sleep'), ['early', 'late']);
  assert.deepEqual(losses(evened, [late, early], 'stop'), ['early', 'late']);
});

test('a loss that is clearly smaller counts, whoever was used last', () => {
  const late = resident('late', 2_000, 1_000, 10_000);
  const early = resident('early', 1_000, 2_000, 20_000);
  const evened = new EvenedLosses([late, early]);
  assert.deepEqual(losses(evened, [late, early], 'sleep'), ['late', 'early']);
  assert.deepEqual(losses(evened, [late, early], 'stop'), ['late', 'early']);
});

test('with one left out the losses are as if it had never been there', () => {
  const all = [
    resident('a', 3_000, 100, 10_000),
    resident('b', 2_000, 120, 11_000),
    resident('c', 1_000, 130, 12_400),
    resident('d', 500, 400, 30_000),
  ];
  const evened = new EvenedLosses(all);
  for (const left of all) {
    const others = all.filter((other) => other !== left);
    assert.deepEqual(evened.without(left).of(others), new EvenedLosses(others).of(others), left.view.model);
  }
});
