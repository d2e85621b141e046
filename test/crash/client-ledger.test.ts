/** The clients' judgement, on answers that are whole, honest, broken, and on those that lie. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Entry,
  type Exchange,
  faultsOfClients,
  judge,
  type Outage,
  type Outcome,
} from './client-ledger.ts';

const NOTHING: Exchange = {
  isStream: true,
  tokens: 2,
  status: 200,
  text: '',
  isCleanEnd: true,
  fault: null,
};
const TOKEN = `data: ${JSON.stringify({ choices: [{ delta: { content: 'word' }, finish_reason: null }] })}\n\n`;
const LAST = `data: ${JSON.stringify({ choices: [{ delta: {}, finish_reason: 'length' }] })}\n\n`;
const ABORTED = LAST.replace('length', 'abort');
const DONE = 'data: [DONE]\n\n';

const kindOf = (exchange: Partial<Exchange>): Outcome['kind'] => judge({ ...NOTHING, ...exchange }).kind;

test('a stream is complete with all of its tokens, its reason and its last frame', () => {
  assert.equal(kindOf({ text: TOKEN + TOKEN + LAST + DONE }), 'complete');
  assert.equal(kindOf({ text: TOKEN + LAST + DONE }), 'cut_short', 'a token is missing');
  assert.equal(kindOf({ text: TOKEN + TOKEN + DONE }), 'cut_short', 'it does not say why it ended');
  assert.equal(kindOf({ text: TOKEN + TOKEN + ABORTED + DONE }), 'cut_short', 'its engine was ended');
  assert.equal(kindOf({ text: TOKEN + TOKEN + LAST }), 'cut_short', 'a clean end without its last frame');
  assert.equal(kindOf({ text: '' }), 'cut_short');
  assert.equal(kindOf({ text: TOKEN, isCleanEnd: false, fault: 'ECONNRESET' }), 'broken');
  assert.equal(kindOf({ text: TOKEN + TOKEN + LAST + DONE, isCleanEnd: false }), 'broken');
});

test('a stream that ends with an error frame has said so', () => {
  const frame = `data: ${JSON.stringify({ error: { message: 'it died', code: 'engine_died' } })}\n\n`;
  assert.deepEqual(judge({ ...NOTHING, text: TOKEN + frame + DONE }), {
    kind: 'error',
    status: 200,
    code: 'engine_died',
  });
});

test('an answer is complete with its count of tokens', () => {
  const answer = (tokens: number): string =>
    JSON.stringify({ choices: [{ finish_reason: 'length' }], usage: { completion_tokens: tokens } });
  assert.equal(kindOf({ isStream: false, text: answer(2) }), 'complete');
  assert.equal(kindOf({ isStream: false, text: answer(1) }), 'cut_short');
  assert.equal(kindOf({ isStream: false, text: answer(2).slice(0, -1) }), 'cut_short');
});

test('an error has a message and a code, else it is no honest one', () => {
  const error = JSON.stringify({ error: { message: 'later', code: 'queue_timeout' } });
  assert.equal(kindOf({ status: 503, text: error }), 'error');
  assert.equal(kindOf({ status: 503, text: 'Bad Gateway' }), 'cut_short');
  assert.equal(kindOf({ status: null, fault: 'ECONNREFUSED', isCleanEnd: false }), 'refused');
  assert.equal(kindOf({ status: null, fault: 'ECONNRESET', isCleanEnd: false }), 'broken');
  assert.equal(kindOf({ status: null, fault: 'UNANSWERED', isCleanEnd: false }), 'unanswered');
});

/** Killed at 1000, gone at 1010, the next one listens at 1500. */
const OUTAGE: Outage = { killedMs: 1_000, exitedMs: 1_010, listeningMs: 1_500 };

function faultsOf(outcome: Outcome, times: Partial<Entry>): readonly string[] {
  const entry = { number: 1, model: 'm', isStream: true, sentMs: 0, begunMs: 100, endedMs: 200, outcome };
  return faultsOfClients([{ ...entry, ...times }], [OUTAGE], 1);
}

test('a transfer may break only where its gateway was killed, and be refused only while nobody listens', () => {
  const broken: Outcome = { kind: 'broken' };
  assert.deepEqual(faultsOf(broken, { sentMs: 900, endedMs: 1_005 }), []);
  assert.deepEqual(faultsOf(broken, { sentMs: 1_005, endedMs: 1_050 }), []);
  assert.match(faultsOf(broken, { sentMs: 500, endedMs: 900 }).join(), /broken off while its gateway lived/);
  assert.match(faultsOf(broken, { sentMs: 1_600, endedMs: 1_700 }).join(), /broken off/);
  const refused: Outcome = { kind: 'refused' };
  assert.deepEqual(faultsOf(refused, { sentMs: 1_200, endedMs: 1_201 }), []);
  assert.match(
    faultsOf(refused, { sentMs: 1_600, endedMs: 1_601 }).join(),
    /refused while a gateway listened/,
  );
});

test('a stream that a dead gateway had begun is never complete later', () => {
  const complete: Outcome = { kind: 'complete' };
  assert.deepEqual(
    faultsOf(complete, { begunMs: 900, endedMs: 1_020 }),
    [],
    'its last bytes were on the way',
  );
  assert.match(faultsOf(complete, { begunMs: 900, endedMs: 4_000 }).join(), /had begun when its gateway/);
  assert.deepEqual(faultsOf(complete, { sentMs: 900, begunMs: 3_000, endedMs: 4_000 }), []);
  assert.match(
    faultsOf({ kind: 'cut_short', detail: 'a stream that ended cleanly' }, {}).join(),
    /ended cleanly/,
  );
  assert.match(faultsOf({ kind: 'unanswered' }, {}).join(), /no answer/);
});

test('every request ends once', () => {
  const entry: Entry = {
    ...{ number: 1, model: 'm', isStream: false, sentMs: 0, begunMs: 1, endedMs: 2 },
    outcome: { kind: 'complete' },
  };
  assert.deepEqual(faultsOfClients([entry], [], 1), []);
  assert.deepEqual(faultsOfClients([entry], [], 2), ['1 of 2 requests never ended']);
  assert.deepEqual(faultsOfClients([entry, entry], [], 1), ['1 requests ended twice']);
});
