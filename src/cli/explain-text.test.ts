import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainText } from './explain-text.ts';

const NOON = new Date(2026, 0, 2, 12, 0, 5).toISOString();

test('the report: the sentence, the steps with their limits, who goes first, the last decisions', () => {
  const why = "waiting 12 s: gpu-0 is in qwen's turn until 12:00:05 at the latest, then 3.1 s to wake";
  const turn = { kind: 'turn', text: "gpu-0 is in qwen's turn", expected_seconds: 8, basis: 'assumed' };
  const wake = { kind: 'wake', text: '3.1 s to wake', expected_seconds: 3.1, basis: 'measured' };
  const text = explainText('phi', {
    ...{ state: 'asleep', phase: 'waiting', why, waiting: 2, running: 0 },
    ...{ ready_in_seconds: 11.1, estimate_basis: 'assumed' },
    explanation: {
      hindrance: 'start_failed',
      steps: [
        { ...turn, at_latest: NOON },
        { ...wake, at_latest: null },
      ],
      ahead: [{ model: 'qwen', why: 'holds_devices', devices: ['gpu-0'], room_in_seconds: 2 }],
      ahead_count: 4,
    },
    last_decisions: [{ at: NOON, kind: 'dispatch', reason: 'it is awake', count: 7 }],
  });
  assert.deepEqual(text.split('\n'), [
    `phi: ${why}`,
    '  asleep (waiting), 2 waiting, 0 running, expected in 11.1 s (assumed)',
    '',
    'Steps:',
    "  turn  8.0 s  gpu-0 is in qwen's turn; assumed; by 12:00:05 at the latest",
    '  wake  3.1 s  3.1 s to wake; measured',
    '',
    'Ahead of it (1 of 4):',
    '  qwen  2.0 s  gpu-0: holds devices',
    '',
    'No bound on its wait holds: its own starts fail.',
    '',
    'Last decisions:',
    '  12:00:05  dispatch  it is awake (7 times)',
  ]);
});

test('of an older gateway, which tells no steps, what there is', () => {
  const about = { state: 'cold', phase: 'cold', why: 'it has to start', waiting: 0, running: 0 };
  assert.equal(
    explainText('a', { ...about, ready_in_seconds: null, estimate_basis: 'assumed' }),
    'a: it has to start\n  cold, 0 waiting, 0 running, nobody can tell for how long',
  );
});
