import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stepAreas } from './step-areas.ts';

test('a key is one outline while it goes on, with a step where its height changes', () => {
  const columns = [
    { fromX: 0, toX: 10, parts: [{ key: 'a', height: 5 }] },
    {
      fromX: 10,
      toX: 20,
      parts: [
        { key: 'a', height: 5 },
        { key: 'b', height: 10 },
      ],
    },
    { fromX: 20, toX: 30, parts: [{ key: 'b', height: 10 }] },
    { fromX: 30, toX: 40, parts: [] },
    { fromX: 40, toX: 50, parts: [{ key: 'a', height: 1 }] },
  ];
  assert.deepEqual(
    [...stepAreas(columns, 100)],
    [
      ['a', 'M0 95H20V100H0ZM40 99H50V100H40Z'],
      ['b', 'M10 85H20V90H30V100H20V95H10Z'],
    ],
  );
});

test('what only meets at an edge is not joined', () => {
  const columns = [
    { fromX: 0, toX: 10, parts: [{ key: 'a', height: 5 }] },
    {
      fromX: 10,
      toX: 20,
      parts: [
        { key: 'b', height: 5 },
        { key: 'a', height: 5 },
      ],
    },
  ];
  assert.equal(stepAreas(columns, 10).get('a'), 'M0 5H10V10H0ZM10 0H20V5H10Z');
});
