/** All rules, in the order in which their findings are printed. */
import type { CheckedFile } from './checkout.ts';
import type { Finding } from './finding.ts';
import { checkArrows } from './rules/arrows.ts';
import { checkAssertions } from './rules/assertions.ts';
import { checkDatabases } from './rules/databases.ts';
import { checkDependencies } from './rules/dependencies.ts';
import { checkNames } from './rules/names.ts';
import { checkPurity } from './rules/purity.ts';
import { checkSize } from './rules/size.ts';
import { checkWords } from './rules/words.ts';

const RULES = [
  checkPurity,
  checkArrows,
  checkDatabases,
  checkSize,
  checkNames,
  checkWords,
  checkDependencies,
  checkAssertions,
];

export function checkAll(files: readonly CheckedFile[]): Finding[] {
  return RULES.flatMap((rule) => rule(files));
}
