import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AttributionInput, attribute, type Quiet } from './attribution.ts';
import type { LaunchOnDevice } from './launch-book.ts';

const OWNERS: Readonly<Record<number, string>> = { 1: 'a', 2: 'a', 3: 'b' };
const settled = (launchId: string, differenceMib: number | null): LaunchOnDevice => ({
  launchId,
  moving: false,
  differenceMib,
});
const moving = (launchId: string): LaunchOnDevice => ({ launchId, moving: true, differenceMib: 0 });
const QUIET: Quiet = {
  foreignMib: 700,
  foreignSource: 'per_process',
  unattributedMib: 200,
  foreignPids: new Set([9]),
};

type Case = readonly [
  name: string,
  input: Partial<AttributionInput>,
  foreignMib: number | null,
  source: string | null,
  launches: Readonly<Record<string, readonly [number, string]>>,
];

const CASES: readonly Case[] = [
  ['nothing of ours: all is foreign', {}, 1000, 'device_difference', {}],
  ['the device does not tell', { usedMib: null }, null, null, {}],
  [
    'processes: what is not ours is foreign, with what no process accounts for',
    {
      processes: [
        { pid: 1, usedMib: 300 },
        { pid: 2, usedMib: 100 },
        { pid: 9, usedMib: 500 },
      ],
      launches: [settled('a', null)],
    },
    600,
    'per_process',
    { a: [400, 'per_process'] },
  ],
  [
    'processes without memory: the difference counts',
    { processes: [{ pid: 1, usedMib: null }], launches: [settled('a', 400)] },
    600,
    'device_difference',
    { a: [400, 'device_difference'] },
  ],
  [
    'A1: our launch is not among the processes: the difference counts',
    { processes: [{ pid: 77, usedMib: 400 }], launches: [settled('a', 400)] },
    600,
    'device_difference',
    { a: [400, 'device_difference'] },
  ],
  [
    'A1: a launch of ours that holds nothing here need not be among them',
    { processes: [{ pid: 1, usedMib: 400 }], launches: [settled('a', 300), settled('b', 0)] },
    600,
    'per_process',
    { a: [400, 'per_process'], b: [0, 'device_difference'] },
  ],
  [
    'one of two launches is not told apart: nothing is known',
    { launches: [settled('a', 400), settled('b', null)] },
    null,
    null,
    { a: [400, 'device_difference'] },
  ],
  [
    'A2: in a move, foreign processes and the quiet rest',
    {
      usedMib: 5000,
      processes: [
        { pid: 1, usedMib: 900 },
        { pid: 9, usedMib: 500 },
      ],
      launches: [moving('a')],
      quiet: QUIET,
    },
    700,
    'per_process',
    { a: [900, 'per_process'] },
  ],
  [
    'A2: a foreign process that grows in our move is seen',
    { usedMib: 5000, processes: [{ pid: 9, usedMib: 1500 }], launches: [moving('a')], quiet: QUIET },
    1700,
    'per_process',
    {},
  ],
  [
    'A3: a new process while no process of ours is seen in our move may be ours',
    {
      usedMib: 9000,
      processes: [
        { pid: 9, usedMib: 500 },
        { pid: 8_000_001, usedMib: 8000 },
      ],
      launches: [moving('a')],
      quiet: QUIET,
    },
    700,
    'per_process',
    {},
  ],
  [
    'in a move without processes, the last quiet figure',
    { usedMib: 5000, launches: [moving('a')], quiet: QUIET },
    700,
    'per_process',
    {},
  ],
  [
    'foreign memory is never more than is used',
    { usedMib: 100, launches: [moving('a')], quiet: QUIET },
    100,
    'per_process',
    {},
  ],
  ['in a move that nothing quiet came before, nothing is known', { launches: [moving('a')] }, null, null, {}],
];

for (const [name, input, foreignMib, source, launches] of CASES) {
  test(name, () => {
    const found = attribute({
      usedMib: 1000,
      processes: null,
      ownerOf: (pid) => OWNERS[pid] ?? null,
      launches: [],
      quiet: null,
      ...input,
    });
    const uses = [...found.launches].map(([id, use]) => [id, [use.usedMib, use.source]]);
    assert.deepEqual(
      [found.foreignMib, found.foreignSource, Object.fromEntries(uses)],
      [foreignMib, source, launches],
    );
  });
}
