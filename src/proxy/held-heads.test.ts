import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type HeldHead, HeldHeads } from './held-heads.ts';

const HOLD_MS = 100;

/** One by one: a timer that is set by another one counts from the end of its tick. */
function passHolds(context: TestContext, count: number): void {
  for (let hold = 0; hold < count; hold++) context.mock.timers.tick(HOLD_MS);
}

function head(sendHead: () => void): HeldHead {
  return { listIndex: -1, sendHead };
}

test('a head goes out alone when nothing follows it, once, and a released one never', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const heads = new HeldHeads();
  const sent: string[] = [];
  const released = head(() => sent.push('released'));
  heads.hold(head(() => sent.push('held')));
  heads.hold(released);
  heads.release(released);
  passHolds(context, 4);
  assert.deepEqual(sent, ['held']);
});

test('a head that is released while another one is sent does not go out', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const heads = new HeldHeads();
  const sent: string[] = [];
  // Whichever is sent first ends the other's request.
  const one = head(() => {
    sent.push('one');
    heads.release(two);
  });
  const two = head(() => {
    sent.push('two');
    heads.release(one);
  });
  heads.hold(one);
  heads.hold(two);
  passHolds(context, 4);
  assert.equal(sent.length, 1);
});

test('a head that is held while others are sent waits for its own time', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const heads = new HeldHeads();
  const sent: string[] = [];
  const late = head(() => sent.push('late'));
  heads.hold(
    head(() => {
      sent.push('first');
      heads.hold(late);
    }),
  );
  passHolds(context, 2);
  assert.deepEqual(sent, ['first']);
  passHolds(context, 2);
  assert.deepEqual(sent, ['first', 'late']);
});
