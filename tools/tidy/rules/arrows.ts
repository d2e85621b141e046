/** Imports between the folders of src/ follow the arrows. Tests may look anywhere. */
import { ARROWS, CONTRACTS, isPure, sourceFolder } from '../arrows.ts';
import { type CheckedFile, isCode, isTest } from '../checkout.ts';
import { type Finding, failure } from '../finding.ts';
import { importsOf } from '../imports.ts';

export function checkArrows(files: readonly CheckedFile[]): Finding[] {
  return files.filter((file) => isCode(file) && !isTest(file)).flatMap(checkFile);
}

function checkFile(file: CheckedFile): Finding[] {
  const from = sourceFolder(file.path);
  if (from === undefined) return [];
  const allowed = ARROWS[from];
  if (allowed === undefined) {
    return [
      failure(file.path, 0, `\`src/${from}\` has no row in tools/tidy/arrows.ts: say what it may import`),
    ];
  }
  const findings: Finding[] = [];
  for (const { target, specifier, line, isTypeOnly } of importsOf(file)) {
    if (target === undefined) continue;
    const to = sourceFolder(target);
    if (to === undefined) {
      findings.push(
        failure(file.path, line, `\`${specifier}\` leaves src/: published code cannot import it`),
      );
      continue;
    }
    const inSource = target.slice('src/'.length);
    const isContract = CONTRACTS.includes(inSource) && from !== 'core' && !isPure(from);
    if (to === from || to === 'core' || allowed.includes(to) || allowed.includes(inSource)) continue;
    if (isContract && isTypeOnly) continue;
    const reach = ['core', ...allowed].join(', ');
    const hint = isContract ? ' (types of this file are allowed: `import type`)' : '';
    findings.push(
      failure(file.path, line, `\`src/${from}\` may not import \`src/${to}\`, only ${reach}${hint}`),
    );
  }
  return findings;
}
