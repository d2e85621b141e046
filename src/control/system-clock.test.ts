import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSystemClock } from './system-clock.ts';

test('a timer never fires before its time', async () => {
  const clock = createSystemClock();
  for (let round = 0; round < 20; round += 1) {
    const atMs = clock.nowMs() + 3.5;
    const firedMs = await new Promise<number>((resolve) =>
      clock.setTimer(atMs, () => resolve(clock.nowMs())),
    );
    assert.ok(firedMs >= atMs, `fired ${atMs - firedMs} ms early`);
  }
});

test('a cancelled timer does not fire, and one further away than Node can count is not fired at once', async () => {
  const clock = createSystemClock();
  let fired = 0;
  const cancel = clock.setTimer(clock.nowMs() + 5, () => {
    fired += 1;
  });
  cancel();
  const cancelFar = clock.setTimer(clock.nowMs() + 2 ** 40, () => {
    fired += 1;
  });
  await new Promise<void>((resolve) => clock.setTimer(clock.nowMs() + 20, resolve));
  cancelFar();
  assert.equal(fired, 0);
});
