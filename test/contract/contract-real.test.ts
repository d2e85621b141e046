/**
 * The contract with vllm-sim on one side and a real vLLM on the other, which also holds the record that the fast suite
 * uses to what the real one answers today. `CONTRACT_RECORD=1` writes the record and the report anew.
 */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { cacheDirectory } from '../../tools/real-vllm/cache-directory.ts';
import { ensureRealVllm } from '../../tools/real-vllm/install.ts';
import { ensureModels } from '../../tools/real-vllm/models.ts';
import { contractCases } from './cases/all-cases.ts';
import { compareCase, recordDrift } from './compare.ts';
import { readRecorded, writeRecorded, writeReport } from './records-file.ts';
import { runSuite, type SideRecords } from './run-suite.ts';
import { realSide, simulatedSide } from './sides.ts';

const onProgress = (line: string): void => console.log(line);
const isRecording = process.env.CONTRACT_RECORD === '1';
let recorded = readRecorded();
let unavailable: string | null = null;
let real: SideRecords = new Map();
let simulated: SideRecords = new Map();

before(async () => {
  const vllm = await ensureRealVllm({ onProgress });
  if ('unavailable' in vllm) {
    unavailable = vllm.unavailable;
    return;
  }
  const models = await ensureModels(vllm.python, { onProgress });
  if ('unavailable' in models) {
    unavailable = models.unavailable;
    return;
  }
  real = await runSuite(realSide(vllm.executable, models, cacheDirectory()), contractCases, onProgress);
  simulated = await runSuite(simulatedSide(), contractCases, onProgress);
  if (!isRecording) return;
  writeRecorded(vllm.version, real);
  writeReport(vllm.version, contractCases, simulated, real);
  recorded = readRecorded();
});

for (const one of contractCases) {
  test(`vllm-sim and a real vLLM keep the contract: ${one.name}`, (t) => {
    if (unavailable !== null) return t.skip(`no real vLLM: ${unavailable}`);
    const outcome = real.get(one.name);
    assert.deepEqual(compareCase(one, simulated.get(one.name), outcome).faults, []);
    const drift = recordDrift(one, recorded.records.get(one.name), outcome);
    assert.deepEqual(
      drift,
      [],
      'the record is out of date: run with CONTRACT_RECORD=1 and look at what changed',
    );
  });
}
