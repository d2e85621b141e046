import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type AnswerRequest,
  composeAnswer,
  countTokens,
  createVocabulary,
  embed,
  promptNumber,
  splitPieces,
} from './text.ts';

const REQUEST: AnswerRequest = {
  prompt: 'user: hello',
  lastUserText: 'hello',
  mode: 'words',
  sample: 0,
  maxTokens: 100,
  minTokens: 0,
  ignoreEos: false,
  naturalTokens: null,
};

test('property: pieces put together are the text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => assert.equal(splitPieces(text).join(''), text)),
  );
});

test('property: detokenizing gives the text back', () => {
  const vocabulary = createVocabulary();
  fc.assert(
    fc.property(fc.string(), (text) => {
      const ids = vocabulary.encode(text);
      assert.equal(ids.length, countTokens(text));
      assert.equal(vocabulary.decode(ids), text);
    }),
  );
});

test('property: an answer keeps its bounds and says truly how it ended', () => {
  const bounds = fc.record({
    maxTokens: fc.integer({ min: 1, max: 60 }),
    minTokens: fc.nat(70),
    ignoreEos: fc.boolean(),
    naturalTokens: fc.option(fc.integer({ min: 1, max: 60 })),
    mode: fc.constantFrom('words' as const, 'echo' as const),
  });
  fc.assert(
    fc.property(bounds, (given) => {
      const answer = composeAnswer({ ...REQUEST, ...given });
      assert.ok(answer.pieces.length >= 1 && answer.pieces.length <= given.maxTokens);
      if (answer.finish === 'length') assert.equal(answer.pieces.length, given.maxTokens);
      if (given.ignoreEos) assert.equal(answer.pieces.length, given.maxTokens);
      assert.deepEqual(composeAnswer({ ...REQUEST, ...given }), answer);
    }),
  );
});

test('an answer begins with its prompt’s number', () => {
  assert.equal(composeAnswer(REQUEST).pieces[0], promptNumber(REQUEST.prompt));
  assert.notEqual(promptNumber('user: hello'), promptNumber('user: hellp'));
  assert.equal(composeAnswer({ ...REQUEST, mode: 'echo' }).pieces.join(''), 'hello');
});

test('embeddings have length one and depend on the text', () => {
  const vector = embed('a', 16);
  assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-9);
  assert.notDeepEqual(embed('b', 16), vector);
});
