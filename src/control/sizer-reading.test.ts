import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle } from '../../test/fakes/fake-launch.ts';
import { failure } from '../core/result.ts';
import { modelFixture } from '../engines/engine-fixtures.ts';
import { type FactsRead, SizerReading } from './sizer-reading.ts';

const NAMES = Array.from({ length: 20 }, (_, at) => `m${at}`);
const FAULT: FactsRead = failure({ kind: 'timeout', text: 'the hub did not answer in time' });

function world() {
  const begun: string[] = [];
  const done: string[] = [];
  const ends = new Map<string, (read: FactsRead) => void>();
  const reading = new SizerReading(
    ({ name }) => {
      begun.push(name);
      return new Promise((resolve) => ends.set(name, resolve));
    },
    ({ name }) => void done.push(name),
  );
  const end = async (name: string): Promise<void> => {
    ends.get(name)?.(FAULT);
    await settle();
  };
  reading.add(NAMES.map((name) => modelFixture({ name })));
  return { reading, begun, done, end };
}

test('two that nobody waits for are read at a time; one that somebody waits for begins at once', async () => {
  const { reading, begun, done, end } = world();
  assert.deepEqual(begun, ['m0', 'm1']);
  for (const name of ['m9', 'm9', 'm0', 'no such model']) reading.hurry(name);
  assert.deepEqual(begun, ['m0', 'm1', 'm9']);
  await end('m9');
  assert.deepEqual([begun, done], [['m0', 'm1', 'm9'], ['m9']]);
  await end('m0');
  assert.deepEqual(begun, ['m0', 'm1', 'm9', 'm2']);
  reading.close();
});

test('eight are hurried at once; more come next, before what nobody waits for', async () => {
  const { reading, begun, done, end } = world();
  for (const name of NAMES.slice(10)) reading.hurry(name);
  assert.deepEqual(begun, ['m0', 'm1', ...NAMES.slice(10, 18)]);
  await end('m1');
  await end('m12');
  assert.deepEqual(begun.slice(10), ['m18', 'm19']);
  await end('m18');
  assert.deepEqual(begun.slice(12), ['m2']);
  for (const name of NAMES) for (const each of [name, ...begun]) await end(each);
  assert.deepEqual(done.toSorted(), NAMES.toSorted(), 'each is told once');
});

test('nothing is read or told after close', async () => {
  const { reading, begun, done, end } = world();
  reading.close();
  reading.hurry('m5');
  await end('m0');
  assert.deepEqual([begun, done], [['m0', 'm1'], []]);
});
