import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QueueCourse } from './queue-course.ts';

test('lengths are means over columns', () => {
  const course = new QueueCourse();
  course.changed('a', 1, 5);
  course.changed('a', 1, 15);
  course.changed('a', -1, 20);
  course.changed('a', -1, 32);
  course.changed('b', 1, 30);
  course.changed('b', -1, 40);
  assert.equal(course.columnMs, 10);
  assert.deepEqual(course.queues(40), [
    { model: 'a', lengths: [0.5, 1.5, 1, 0.2] },
    { model: 'b', lengths: [0, 0, 0, 1] },
  ]);
});

test('columns grow with the run, and waiting time stays the same', () => {
  const course = new QueueCourse();
  course.changed('a', 1, 100);
  course.changed('a', 1, 4_000);
  course.changed('a', -1, 3_600_000);
  course.changed('a', -1, 7_200_000);
  const [queue] = course.queues(7_200_000);
  const waited = (queue?.lengths ?? []).reduce((sum, length) => sum + length * course.columnMs, 0);
  assert.ok(Math.abs(waited - (7_200_000 - 100 + 3_600_000 - 4_000)) < 1e-3);
  assert.ok((queue?.lengths.length ?? 0) <= 512);
});
