/**
 * The contract with vllm-sim on one side and the record of a real vLLM on the other. `contract-real.test.ts` makes the
 * record and holds the real one to it.
 */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { contractCases } from './cases/all-cases.ts';
import { compareCase } from './compare.ts';
import { readRecorded } from './records-file.ts';
import { runSuite, type SideRecords } from './run-suite.ts';
import { simulatedSide } from './sides.ts';

const recorded = readRecorded();
let simulated: SideRecords = new Map();

before(async () => {
  simulated = await runSuite(simulatedSide(), contractCases, () => {});
});

for (const one of contractCases) {
  test(`vllm-sim keeps the contract: ${one.name}`, () => {
    assert.deepEqual(compareCase(one, simulated.get(one.name), recorded.records.get(one.name)).faults, []);
  });
}

test('every recorded case still exists', () => {
  const names = new Set(contractCases.map((one) => one.name));
  assert.deepEqual(
    [...recorded.records.keys()].filter((name) => !names.has(name)),
    [],
  );
  assert.equal(names.size, contractCases.length, 'two cases share a name');
});
