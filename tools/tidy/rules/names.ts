/** A file is called after the one thing in it. */
import { type CheckedFile, isCode } from '../checkout.ts';
import { type Finding, failure } from '../finding.ts';

const KEBAB_CASE = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)*$/;
const EMPTY_WORD = /^(utils?|helpers?|managers?|common|misc|stuff)$/;

export function checkNames(files: readonly CheckedFile[]): Finding[] {
  return files.filter(isCode).flatMap((file) => {
    const findings: Finding[] = [];
    const segments = file.path.split('/');
    const name = segments.at(-1) ?? '';
    if (/^index\.[cm]?[jt]s$/.test(name)) {
      findings.push(failure(file.path, 0, 'no index files: import the file that has what you need'));
    }
    for (const segment of segments) {
      if (!KEBAB_CASE.test(segment) && !segment.startsWith('.')) {
        findings.push(failure(file.path, 0, `\`${segment}\` is not kebab-case`));
      }
      const word = segment.split(/[-.]/).find((part) => EMPTY_WORD.test(part));
      if (word !== undefined) {
        findings.push(failure(file.path, 0, `\`${word}\` says nothing: name the file after what it holds`));
      }
    }
    return findings;
  });
}
