/** The ledger must find what the soak is there for: each kind of fault in books that otherwise agree. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RequestLine } from '../../src/engines/simulated/program/request-log.ts';
import { type Ending, type Entry, requestId } from './ask.ts';
import { type Books, faultsOf, type Row } from './ledger.ts';

const SEED = 7;
const ANSWERED: Ending = { kind: 'answered', status: 200, text: '' };
const LEFT: Ending = { kind: 'left' };

function entry(number: number, ending: Ending = ANSWERED, by: Entry['by'] = 'engine'): Entry {
  return { number, id: requestId(SEED, number), kind: 'chat', by, ending };
}

function row(number: number, more: Partial<Row> = {}): Row {
  const common = { model: 'a', route: '/v1/chat/completions', outcome: 'answered', status: 200, code: null };
  return { clientRequestId: requestId(SEED, number), attempts: 1, ...common, ...more };
}

function atEngine(number: number, status = 200, isWhole = true): readonly RequestLine[] {
  const common = { id: requestId(SEED, number), path: '/' };
  return [
    { event: 'begin', ...common, status: 0, isWhole: false },
    { event: 'end', ...common, status, isWhole },
  ];
}

/** Two requests that were answered, and nothing else. */
const SOUND: Books = {
  sent: 2,
  entries: [entry(1), entry(2)],
  rows: [row(1), row(2)],
  engineLines: [...atEngine(1), ...atEngine(2)],
  counted: new Map([['a answered 200 ', 2]]),
};

const TIMED_OUT: Ending = { kind: 'error', status: 503, code: 'queue_timeout', origin: 'gateway' };
const REFUSED = { outcome: 'refused', status: 503, code: 'queue_timeout', attempts: 0 } as const;

test('books that agree have no faults', () => {
  assert.deepEqual(faultsOf(SOUND), []);
  const alsoSound: Books = {
    sent: 5,
    entries: [entry(1, LEFT), entry(2, LEFT), entry(3, TIMED_OUT), entry(4, { kind: 'unsent' }), entry(5)],
    // The first left before anybody read it; the last was sent again, and holds its engine afterwards.
    rows: [
      row(2, { outcome: 'client_left' }),
      row(3, REFUSED),
      row(5, { attempts: 2 }),
      row(5, { route: '/v1/responses (background)' }),
    ],
    engineLines: [...atEngine(2, 200, false), ...atEngine(5, 0, false), ...atEngine(5)],
    counted: new Map([
      ['a client_left 200 ', 1],
      ['a refused 503 queue_timeout', 1],
      ['a answered 200 ', 1],
    ]),
  };
  assert.deepEqual(faultsOf(alsoSound), []);
});

const FAULTS: readonly (readonly [name: string, more: Partial<Books>, words: RegExp])[] = [
  ['a client that never got an end', { sent: 3 }, /1 of 3 requests never ended/],
  ['two ends', { entries: [entry(1), entry(2), entry(2)] }, /1 requests ended twice/],
  [
    'a wrong answer',
    { entries: [entry(1), entry(2, { kind: 'wrong', detail: 'not #2# but #1#' })] },
    /not #2#/,
  ],
  ['an answer from nowhere', { engineLines: atEngine(1) }, /by engines with nothing whole/],
  [
    'an answer of a broken one',
    { engineLines: [...atEngine(1), ...atEngine(2, 200, false)] },
    /nothing whole/,
  ],
  ['another status', { engineLines: [...atEngine(1), ...atEngine(2, 500)] }, /by engines with 500/],
  ['two answers', { engineLines: [...SOUND.engineLines, ...atEngine(2)] }, /wholly 2 times/],
  ['more begun than sent', { engineLines: [...SOUND.engineLines, ...atEngine(2, 0, false)] }, /sent 1 times/],
  [
    'an engine that goes on',
    { engineLines: SOUND.engineLines.slice(0, -1) },
    /begun 1 times at engines, ended 0/,
  ],
  [
    'a stranger at an engine',
    { engineLines: [...SOUND.engineLines, ...atEngine(9)] },
    /soak-7-9: at an engine/,
  ],
  ['a stranger in the book', { rows: [...SOUND.rows, row(9)] }, /soak-7-9: in the gateway's book/],
  ['an end that was not noted', { rows: [row(1)] }, /not in the gateway's book/],
  ['an end that was noted twice', { rows: [...SOUND.rows, row(2)] }, /2 rows/],
  ['an end that was noted otherwise', { rows: [row(1), row(2, { status: 502 })] }, /in the book with 502/],
  [
    'metrics that miscount',
    { counted: new Map([['a answered 200 ', 3]]) },
    /3 by the metrics, 2 in the book/,
  ],
  [
    'an engine asked for what the gateway answers',
    { entries: [entry(1), entry(2, ANSWERED, 'gateway')] },
    /by the gateway/,
  ],
  ['an unsent one that was seen', { entries: [entry(1), entry(2, { kind: 'unsent' })] }, /it was seen/],
  [
    'one that left unseen and unnoted',
    { entries: [entry(1), entry(2, LEFT)], rows: [row(1)] },
    /not in the gateway’s/,
  ],
  [
    'an error of an engine that never had it',
    {
      entries: [entry(1), entry(2, { kind: 'error', status: 200, code: '400', origin: 'engine' })],
      engineLines: atEngine(1),
    },
    /no engine had it/,
  ],
];

for (const [name, more, words] of FAULTS) {
  test(`it finds ${name}`, () => {
    assert.match(faultsOf({ ...SOUND, ...more }).join('\n'), words);
  });
}
