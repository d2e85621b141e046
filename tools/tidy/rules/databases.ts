/**
 * Only the store opens SQLite files, and the simulated machine its locks. Everybody else asks the store, whose thread writes:
 * so nothing on a request's way waits for a disk. Tests may look anywhere.
 */
import { type CheckedFile, isCode, isTest, lineAt } from '../checkout.ts';
import { type Finding, failure } from '../finding.ts';
import { importsOf } from '../imports.ts';

const MODULE = 'node:sqlite';
const HOMES = ['src/store/', 'src/engines/simulated/'];

export function checkDatabases(files: readonly CheckedFile[]): Finding[] {
  return files
    .filter((file) => file.path.startsWith('src/') && isCode(file) && !isTest(file))
    .filter((file) => !HOMES.some((home) => file.path.startsWith(home)))
    .flatMap((file) => [...importedIn(file), ...builtInOf(file)]);
}

function importedIn(file: CheckedFile): Finding[] {
  return importsOf(file)
    .filter(({ specifier }) => specifier === MODULE)
    .map(({ line }) => found(file, line));
}

/** `process.getBuiltinModule` and `require`: the name stands in a string, which the blanked code does not have. */
function builtInOf(file: CheckedFile): Finding[] {
  const calls = file.code.matchAll(/\b(?:getBuiltinModule|require)\(\s*(['"])/g);
  return [...calls]
    .filter((match) => file.text.slice(match.index + match[0].length).startsWith(MODULE))
    .map((match) => found(file, lineAt(file, match.index)));
}

function found(file: CheckedFile, line: number): Finding {
  return failure(file.path, line, `${MODULE} is opened only in ${HOMES.join(' and ')}: ask the store`);
}
