/**
 * Runs the contract by hand: `node tools/contract/main.ts simulated|real|both [PART OF A CASE NAME]`. Prints what fails
 * and, for `simulated`, how it differs from the recorded real one. Nothing is written.
 */

import { contractCases } from '../../test/contract/cases/all-cases.ts';
import { compareCase } from '../../test/contract/compare.ts';
import { readRecorded } from '../../test/contract/records-file.ts';
import { runSuite, type SideRecords } from '../../test/contract/run-suite.ts';
import { realSide, simulatedSide } from '../../test/contract/sides.ts';
import { cacheDirectory } from '../real-vllm/cache-directory.ts';
import { ensureRealVllm } from '../real-vllm/install.ts';
import { ensureModels } from '../real-vllm/models.ts';

const onProgress = (line: string): void => console.log(line);
const [which = 'simulated', part = ''] = process.argv.slice(2);
const cases = contractCases.filter((one) => one.name.includes(part));

async function runReal(): Promise<SideRecords> {
  const vllm = await ensureRealVllm({ onProgress });
  if ('unavailable' in vllm) throw new Error(vllm.unavailable);
  const models = await ensureModels(vllm.python, { onProgress });
  if ('unavailable' in models) throw new Error(models.unavailable);
  return runSuite(realSide(vllm.executable, models, cacheDirectory()), cases, onProgress);
}

const real = which === 'simulated' ? readRecorded().records : await runReal();
const simulated = which === 'real' ? null : await runSuite(simulatedSide(), cases, onProgress);
let faultCount = 0;
for (const one of cases) {
  const record = real.get(one.name);
  const faults =
    simulated === null
      ? record !== undefined && 'failure' in record
        ? [record.failure]
        : []
      : compareCase(one, simulated.get(one.name), record).faults;
  if (faults.length === 0) continue;
  faultCount += 1;
  console.log(`\n✗ ${one.name}\n  ${faults.join('\n  ')}`);
}
console.log(`\n${cases.length} cases, ${faultCount} with faults`);
process.exitCode = faultCount === 0 ? 0 : 1;
