import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LaunchBook } from './launch-book.ts';

const uses = (g: number | null, h: number | null = 0) =>
  new Map([
    ['g', g],
    ['h', h],
  ]);

test('a start is the difference of the readings around it, on each of its devices', () => {
  const book = new LaunchBook();
  book.moved('a', 'moving', ['g', 'h'], uses(100, 10));
  assert.deepEqual(book.on('g'), [{ launchId: 'a', moving: true, differenceMib: 0 }]);
  book.moved('a', 'settled', [], uses(0));
  book.book(uses(1100, 910), book.position);
  assert.deepEqual(book.on('g'), [{ launchId: 'a', moving: false, differenceMib: 1000 }]);
  assert.deepEqual(book.on('h'), [{ launchId: 'a', moving: false, differenceMib: 900 }]);
});

test('a later move of the same launch adds its own difference, and its end forgets it', () => {
  const book = new LaunchBook();
  book.moved('a', 'moving', ['g'], uses(100));
  book.moved('a', 'settled', [], uses(0));
  book.book(uses(1100), book.position);
  book.moved('a', 'moving', [], uses(1200));
  book.moved('a', 'settled', [], uses(0));
  book.book(uses(400), book.position);
  assert.equal(book.on('g')[0]?.differenceMib, 200);
  book.moved('a', 'gone', [], uses(400));
  assert.equal(book.moving, true);
  book.book(uses(200), book.position);
  assert.deepEqual([book.on('g'), book.moving], [[], false]);
});

test('B1: two that move at once on one device are not told apart; on other devices they are', () => {
  const book = new LaunchBook();
  book.moved('a', 'moving', ['g'], uses(0));
  book.moved('b', 'moving', ['g'], uses(0));
  book.moved('c', 'moving', ['h'], uses(0));
  for (const id of ['a', 'b', 'c']) book.moved(id, 'settled', [], uses(0));
  book.book(uses(500, 50), book.position);
  assert.deepEqual(
    [...book.on('g'), ...book.on('h')].map(({ differenceMib }) => differenceMib),
    [null, null, 50],
  );
});

test('B1: a device that did not tell before or after', () => {
  const book = new LaunchBook();
  book.moved('a', 'moving', ['g', 'h'], uses(null, 5));
  book.moved('a', 'settled', [], uses(0));
  book.book(uses(10, null), book.position);
  assert.deepEqual([book.on('g')[0]?.differenceMib, book.on('h')[0]?.differenceMib], [null, null]);
});

test('B2: a reading that began before the end of a move does not close it', () => {
  const book = new LaunchBook();
  book.moved('a', 'moving', ['g'], uses(0));
  const { position } = book;
  book.moved('a', 'settled', [], uses(0));
  book.book(uses(10), position);
  assert.equal(book.moving, true);
  book.book(uses(900), book.position);
  assert.equal(book.on('g')[0]?.differenceMib, 900);
});

test('adopted launches are known and unmeasured; unknown ones on no device are nothing', () => {
  const book = new LaunchBook();
  book.moved('old', 'settled', ['g'], uses(700));
  book.moved('external', 'moving', [], uses(700));
  assert.deepEqual(book.on('g'), [{ launchId: 'old', moving: false, differenceMib: null }]);
  assert.equal(book.moving, false);
});

test('B3: a move that begins before the last one was closed shares its reading, and the two add up', () => {
  const book = new LaunchBook();
  book.moved('a', 'moving', ['g', 'h'], uses(100));
  book.moved('a', 'settled', [], uses(0));
  book.moved('b', 'moving', ['g'], uses(6_100));
  assert.equal(book.on('h')[0]?.moving, true);
  book.book(uses(7_000, 50), book.position);
  assert.deepEqual(book.on('g'), [
    { launchId: 'a', moving: false, differenceMib: 6_000 },
    { launchId: 'b', moving: true, differenceMib: 0 },
  ]);
  book.moved('b', 'settled', [], uses(0));
  book.book(uses(7_100), book.position);
  assert.equal(book.on('g')[1]?.differenceMib, 1_000);
});

test('B3: an engine that moves again at once keeps the difference of its first move', () => {
  const book = new LaunchBook();
  book.moved('a', 'moving', ['g'], uses(100));
  book.moved('a', 'settled', [], uses(0));
  book.moved('a', 'moving', [], uses(6_100));
  book.moved('a', 'settled', [], uses(0));
  book.book(uses(500), book.position);
  assert.equal(book.on('g')[0]?.differenceMib, 400);
});
