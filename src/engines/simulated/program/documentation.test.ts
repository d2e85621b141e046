import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { FAULT_HELP } from './faults.ts';
import { SIM_SWITCHES, SIM_VALUES } from './sim-flags.ts';

const DOCUMENT = readFileSync(new URL('../../../../docs/vllm-sim.md', import.meta.url), 'utf8');

/** First cells of the tables' rows. */
const ROWS = [...DOCUMENT.matchAll(/^\| `([^`]+)` \|/gm)].map((found) => found[1] ?? '');

test('docs/vllm-sim.md has every flag and every fault, and no other', () => {
  const flags = [...SIM_VALUES.keys(), ...SIM_SWITCHES.keys()].map((name) => `--${name}`);
  const known = [...flags, ...FAULT_HELP.map(([name]) => name)];
  assert.deepEqual(ROWS.toSorted(), known.toSorted());
});

test('docs/vllm-sim.md tells the defaults that are used', () => {
  for (const [name, [initial]] of SIM_VALUES) {
    if (initial === null) continue;
    assert.ok(DOCUMENT.includes(`| \`--${name}\` | ${initial} |`), `--${name}: default ${initial}`);
  }
});
