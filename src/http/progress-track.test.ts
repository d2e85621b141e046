import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../core/virtual-clock.ts';
import { ProgressTrack } from './progress-track.ts';
import { type TimedEstimate, WaitEstimates } from './wait-estimates.ts';

function estimate(readyAtMs: number | null, phase = 'loading', why = 'it is starting'): TimedEstimate {
  return { phase, readyAtMs, basis: 'measured', why };
}

test('the percentage is the share of the wait that is over, and 99 at most', () => {
  const track = new ProgressTrack(1_000);
  assert.equal(track.report(estimate(11_000), 3_500).percent, 25);
  assert.equal(track.report(estimate(11_000), 6_000).percent, 50);
  const late = track.report(estimate(11_000), 20_000);
  assert.equal(late.percent, 99);
  assert.equal(late.readyInS, 0);
});

test('a promise that is broken in the same phase is told, a new phase makes a new one', () => {
  const track = new ProgressTrack(0);
  assert.equal(track.report(estimate(10_000), 0).laterByS, 0);
  assert.equal(track.report(estimate(10_900), 1_000).laterByS, 0);
  assert.equal(track.report(estimate(14_000), 2_000).laterByS, 4);
  assert.equal(track.report(estimate(9_000), 3_000).laterByS, 0);
  assert.equal(track.report(estimate(14_000), 4_000).laterByS, 5);
  assert.equal(track.report(estimate(60_000, 'compiling'), 5_000).laterByS, 0);
});

test('what nobody can tell is null and said so; the percentage stays', () => {
  const track = new ProgressTrack(0);
  assert.equal(track.report(estimate(null), 0).percent, null);
  track.report(estimate(10_000), 5_000);
  const { percent, readyInS, why } = track.report(estimate(null), 6_000);
  assert.deepEqual([percent, readyInS], [50, null]);
  assert.match(why, /^nobody can tell how long: it is starting$/);
  assert.equal(track.report(estimate(null, 'x', 'nobody can tell: y'), 7_000).why, 'nobody can tell: y');
});

test('whatever is estimated: the percentage never falls, times are never negative', () => {
  const told = fc.record({
    stepMs: fc.nat(20_000),
    restMs: fc.option(fc.integer({ min: -5_000, max: 3_600_000 })),
    phase: fc.constantFrom('waiting', 'loading'),
  });
  fc.assert(
    fc.property(fc.array(told), (reports) => {
      const track = new ProgressTrack(0);
      let nowMs = 0;
      let before = 0;
      for (const { stepMs, restMs, phase } of reports) {
        nowMs += stepMs;
        const readyAtMs = restMs === null ? null : nowMs + restMs;
        const { percent, readyInS, laterByS } = track.report(estimate(readyAtMs, phase), nowMs);
        assert.ok(percent === null ? before === 0 : percent >= before && percent <= 99);
        assert.ok(readyInS === null ? restMs === null : readyInS >= 0);
        assert.ok(laterByS >= 0);
        before = percent ?? 0;
      }
    }),
  );
});

test('an estimate is worked out once a second for each model, however many ask', () => {
  const clock = new VirtualClock();
  let made = 0;
  const estimates = new WaitEstimates(clock, () => {
    made += 1;
    return { phase: 'loading', readyInMs: 5_000, basis: 'assumed', why: '', percent: null };
  });
  for (let count = 0; count < 5_000; count++) estimates.of(`m${count % 2}`);
  assert.equal(made, 2);
  clock.advanceTo(999);
  assert.equal(estimates.of('m0').readyAtMs, 5_000);
  clock.advanceTo(1_000);
  assert.equal(estimates.of('m0').readyAtMs, 6_000);
  assert.equal(made, 3);
});
