/** `run-tests SUITE [PART_OF_PATH…]`: runs a suite, or those of its files whose path contains one of the parts. */
import path from 'node:path';
import { endRunningFiles } from './run-file.ts';
import { runSuite } from './run-suite.ts';
import { findSuite, SUITES } from './suites.ts';

const [name = '', ...filters] = process.argv.slice(2);
const suite = findSuite(name);
if (suite === undefined) {
  process.stderr.write(`usage: run-tests ${SUITES.map((known) => known.name).join('|')} [PART_OF_PATH…]\n`);
  process.exitCode = 2;
} else {
  const root = path.dirname(path.dirname(import.meta.dirname));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      endRunningFiles();
      process.kill(process.pid, signal);
    });
  }
  const isPassed = await runSuite(root, suite, filters, (text) => process.stdout.write(`${text}\n`));
  if (!isPassed) process.exitCode = 1;
}
