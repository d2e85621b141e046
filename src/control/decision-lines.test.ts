import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Effect } from '../scheduler/effects.ts';
import { createDecisionLines } from './decision-lines.ts';

const closing = { code: 'shutting_down', parameters: {}, retryAfterS: 5 } as const;
const EFFECTS: readonly Effect[] = [
  { kind: 'set_timer', key: 'a', atMs: 1 },
  { kind: 'refuse', requestId: 1, refusal: closing, reason: 'its patience has ended' },
  { kind: 'cut', requestId: 2, refusal: closing, reason: 'the drain limit has passed' },
  { kind: 'lone_death', requestId: 3, model: 'a', reason: 'it was alone in flight' },
];

function linesAt(level: 'info' | 'debug'): readonly string[] {
  const lines: string[] = [];
  createDecisionLines((lineLevel, text) => void lines.push(`${lineLevel} ${text}`), level)(EFFECTS);
  return lines;
}

test('what happens to single requests reaches the log with its reason, the usual at debug only', () => {
  const warnings = [
    'warn cut of request 2: the drain limit has passed',
    'warn lone death of request 3: it was alone in flight',
  ];
  assert.deepEqual(linesAt('info'), warnings);
  assert.deepEqual(linesAt('debug'), ['debug refuse: its patience has ended', ...warnings]);
});
