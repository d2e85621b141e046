import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type QueuedRequest, WaitingQueue } from './waiting-queue.ts';

function request(requestId: number, deadlineMs: number): QueuedRequest {
  return {
    requestId,
    arrivedMs: 0,
    deadlineMs,
    patienceMs: 0,
    light: false,
    resends: 0,
    cuts: 0,
    loneDeaths: 0,
  };
}

test('a request that came back has its later deadline, not the one that it had before', () => {
  const queue = new WaitingQueue();
  queue.push(request(1, 100));
  queue.push(request(2, 500));
  const first = queue.shift();
  assert.equal(first?.requestId, 1);
  queue.pushReturned({ ...request(1, 300), resends: 1 });
  assert.equal(queue.nextDeadlineMs(), 300);
  assert.equal(queue.takeExpired(299), null);
  assert.equal(queue.takeExpired(300)?.requestId, 1);
  assert.equal(queue.nextDeadlineMs(), 500);
});

test('a queue that is never empty remembers no more deadlines than it has use for', () => {
  const queue = new WaitingQueue();
  // The first one has the nearest deadline and stays: nothing behind it is ever looked at.
  queue.push(request(0, 1));
  for (let id = 1; id <= 10_000; id += 1) {
    queue.push(request(id, 1_000_000 + id));
    assert.ok(queue.deadlineCount <= 2 * queue.size + 64, `${queue.deadlineCount} of ${queue.size}`);
    if (id > 10) queue.remove(id - 10);
  }
  assert.equal(queue.size, 11);
  assert.equal(queue.takeExpired(1)?.requestId, 0);
  assert.equal(queue.nextDeadlineMs(), 1_009_991);
});
