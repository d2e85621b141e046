/** A test file without an assertion passes whatever the code does. */
import { type CheckedFile, isTest } from '../checkout.ts';
import { type Finding, failure } from '../finding.ts';
import { importsOf } from '../imports.ts';

export function checkAssertions(files: readonly CheckedFile[]): Finding[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  // Several test files may share the assertions of a fixture or of a suite that several implementations run.
  const asserts = (file: CheckedFile): boolean =>
    hasAssertion(file) ||
    importsOf(file).some(({ target }) => {
      const shared = byPath.get(target ?? '');
      return shared !== undefined && isOnlyForTests(shared) && hasAssertion(shared);
    });
  return files
    .filter((file) => file.path.endsWith('.test.ts') && !asserts(file))
    .map((file) => failure(file.path, 0, 'a test file without an assertion'));
}

function isOnlyForTests(file: CheckedFile): boolean {
  return isTest(file) || file.path.startsWith('test/');
}

function hasAssertion(file: CheckedFile): boolean {
  return /(?<![\w$])assert\b/.test(file.code.replaceAll(/^import\b[^;]*;/gm, ''));
}
