import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from './virtual-clock.ts';

test('timers fire by time, those of one time as they were set, and one that is late fires now', () => {
  const clock = new VirtualClock();
  const fired: string[] = [];
  clock.setTimer(20, () => fired.push('c'));
  clock.setTimer(10, () => {
    fired.push('a');
    clock.setTimer(5, () => fired.push(`late at ${clock.nowMs()}`));
  });
  clock.setTimer(10, () => fired.push('b'));
  clock.advanceTo(15);
  assert.deepEqual(fired, ['a', 'b', 'late at 10']);
  assert.equal(clock.nowMs(), 15);
  assert.equal(clock.pendingCount, 1);
  assert.equal(clock.step(), true);
  assert.equal(clock.nowMs(), 20);
  assert.equal(clock.step(), false);
});

test('a cancelled timer never fires, and cancelling late is harmless', () => {
  const clock = new VirtualClock();
  let count = 0;
  const cancel = clock.setTimer(10, () => {
    count += 1;
  });
  const cancelOther = clock.setTimer(10, () => {
    count += 10;
  });
  cancelOther();
  clock.advanceTo(10);
  cancel();
  cancelOther();
  assert.equal(count, 1);
  assert.equal(clock.pendingCount, 0);
});

test('whatever is set and cancelled: what is left fires in order of time and of setting', () => {
  const operation = fc.record({ atMs: fc.integer({ min: 0, max: 20 }), cancels: fc.option(fc.nat(50)) });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const clock = new VirtualClock();
      const fired: number[] = [];
      const cancels: (() => void)[] = [];
      const cancelled = new Set<number>();
      for (const [index, { atMs, cancels: which }] of operations.entries()) {
        cancels.push(clock.setTimer(atMs, () => fired.push(index)));
        const chosen = which === null ? undefined : cancels[which];
        if (which === null || chosen === undefined) continue;
        chosen();
        cancelled.add(which);
      }
      clock.advanceTo(100);
      const expected = operations
        .map(({ atMs }, index) => ({ atMs, index }))
        .filter(({ index }) => !cancelled.has(index))
        .sort((a, b) => a.atMs - b.atMs || a.index - b.index)
        .map(({ index }) => index);
      assert.deepEqual(fired, expected);
    }),
  );
});
