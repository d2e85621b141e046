/** A test file without an assertion passes whatever the code does. */
import type { CheckedFile } from '../checkout.ts';
import { type Finding, failure } from '../finding.ts';
import { importsOf } from '../imports.ts';

/** Suites that several implementations run; the assertions are in there. */
const SHARED_SUITE = /(conformance|contract)[\w-]*\.ts$/;

export function checkAssertions(files: readonly CheckedFile[]): Finding[] {
  return files
    .filter((file) => file.path.endsWith('.test.ts'))
    .filter((file) => !/(?<![\w$])assert\b/.test(withoutImports(file.code)))
    .filter((file) => !importsOf(file).some(({ specifier }) => SHARED_SUITE.test(specifier)))
    .map((file) => failure(file.path, 0, 'a test file without an assertion'));
}

function withoutImports(code: string): string {
  return code.replaceAll(/^import\b[^;]*;/gm, '');
}
