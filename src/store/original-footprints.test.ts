import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { modelFixture } from '../engines/engine-fixtures.ts';
import { matchesConfiguration, type OriginalFootprint, parseFootprints } from './original-footprints.ts';

function entry(changes: Partial<OriginalFootprint> = {}): OriginalFootprint {
  return {
    model: 'm',
    usedMib: 17_000,
    mode: null,
    maxModelLen: null,
    maxNumSeqs: null,
    tensorParallelSize: null,
    utilization: null,
    ...changes,
  };
}

const FULL = entry({
  mode: 'budget',
  maxModelLen: 8192,
  maxNumSeqs: 16,
  tensorParallelSize: 1,
  utilization: 0.9,
});

const SIGNATURE = {
  mode: 'budget',
  max_model_len: 8192,
  max_num_seqs: 16,
  tensor_parallel_size: 1,
  gpu_memory_utilization: 0.9,
};

const UNDERSTOOD: readonly (readonly [what: string, file: unknown, expected: OriginalFootprint])[] = [
  ['a bare figure', { m: 17_000 }, entry()],
  ['a figure as text', { m: '17000' }, entry()],
  ['a figure and its settings', { m: { footprint_mib: 17_000, ...SIGNATURE } }, FULL],
  ['a signature of its own', { m: { vram_mib: 17_000, signature: SIGNATURE } }, FULL],
  [
    'short names',
    {
      m: {
        mib: 17_000,
        placement_mode: 'Budget',
        max_model_len: 8192,
        max_num_seqs: '16',
        tp: 1,
        utilization: 0.9,
      },
    },
    FULL,
  ],
  ['a tuple', { m: { used_mib: 17_000, signature: ['PlacementMode.BUDGET', 8192, 16, 1, 0.9] } }, FULL],
  ['a joined signature', { m: { memory_mib: 17_000, signature: 'budget|8192|16|1|0.9' } }, FULL],
  ['models around it', { models: { m: { vram_footprint: 17_000 } } }, entry()],
  ['footprints around it', { version: 1, footprints: { m: { vram_footprint_mib: 17_000 } } }, entry()],
  ['a model called models', { models: { mib: 17_000 } }, entry({ model: 'models' })],
  ['another mode', { m: { mib: 17_000, mode: 'whole-card', tp: null } }, entry({ mode: 'whole_card' })],
];

for (const [what, file, expected] of UNDERSTOOD) {
  test(`understood: ${what}`, () => {
    assert.deepEqual(parseFootprints(JSON.stringify(file)), { entries: [expected], problems: [] });
  });
}

test('what cannot be understood is named, and the rest is taken', () => {
  const file = {
    good: 5,
    zero: 0,
    text: 'much',
    list: [1],
    empty: {},
    huge: { mib: 1e12 },
    sized: { mib: 'x' },
    mode: { mib: 1, mode: 5 },
    length: { mib: 1, max_model_len: 'long' },
    odd: { mib: 1, signature: 'a1b2c3' },
    short: { mib: 1, signature: ['budget', 1, 2] },
  };
  const { entries, problems } = parseFootprints(JSON.stringify(file));
  assert.deepEqual(entries, [entry({ model: 'good', usedMib: 5 })]);
  assert.deepEqual(problems, [
    '"zero": no amount of memory',
    '"text": no amount of memory',
    '"list": no amount of memory',
    '"empty": none of footprint_mib, vram_footprint_mib, vram_mib, vram_footprint, memory_mib, mib, used_mib',
    '"huge": `mib` is no amount of memory',
    '"sized": `mib` is no amount of memory',
    '"mode": its mode is no text',
    '"length": `max_model_len` is no number',
    '"odd": its signature cannot be read',
    '"short": its signature cannot be read',
  ]);
});

test('a file that is no mapping gives nothing', () => {
  for (const [text, problem] of [
    ['{"a":', 'it is not valid JSON'],
    ['[1]', 'it is not a mapping of models'],
    ['null', 'it is not a mapping of models'],
  ] as const) {
    assert.deepEqual(parseFootprints(text), { entries: [], problems: [problem] });
  }
});

test('anything gives entries and problems, one for each key', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      const { entries, problems } = parseFootprints(text);
      assert.ok(entries.every(({ usedMib }) => usedMib > 0));
      assert.ok(problems.every((problem) => problem.length > 0));
    }),
    { numRuns: 300 },
  );
});

test('an entry matches while every setting that it knows is still the same', () => {
  const model = modelFixture({ vllm: { maxModelLen: 8192 } });
  assert.ok(matchesConfiguration(FULL, model, 'budget'));
  assert.ok(matchesConfiguration(entry(), model, 'whole_card'));
  assert.ok(matchesConfiguration({ ...FULL, utilization: 0.1 + 0.8 }, model, 'budget'));
  const others: readonly Partial<OriginalFootprint>[] = [
    { mode: 'whole_card' },
    { maxModelLen: 4096 },
    { maxNumSeqs: 8 },
    { tensorParallelSize: 2 },
    { utilization: 0.8 },
  ];
  for (const other of others) {
    assert.ok(!matchesConfiguration({ ...FULL, ...other }, model, 'budget'), JSON.stringify(other));
  }
  const away = { baseUrl: 'http://h', apiKey: null, headers: {}, healthPath: '/' };
  assert.ok(!matchesConfiguration(entry(), modelFixture({ url: away }), 'budget'));
});
