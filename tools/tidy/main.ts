/** `tidy`: the conventions that neither the compiler nor the linter knows. Exit code 1 when one is broken. */
import path from 'node:path';
import { readCheckout } from './checkout.ts';
import { formatFinding } from './finding.ts';
import { checkAll } from './rules.ts';

const files = readCheckout(path.dirname(path.dirname(import.meta.dirname)));
const findings = checkAll(files);
for (const finding of findings) process.stdout.write(`${formatFinding(finding)}\n`);
const failures = findings.filter((finding) => finding.level === 'fail').length;
process.stdout.write(
  `tidy: ${files.length} files, ${failures} failures, ${findings.length - failures} notes\n`,
);
if (failures > 0 || files.length === 0) process.exitCode = 1;
