/**
 * What the pure folders may not say, and what to say instead. Their tsconfig without Node's types refuses most of it
 * too; this list also knows what is in the language itself.
 */
import { isPure, sourceFolder } from '../arrows.ts';
import { type CheckedFile, isCode, isTest, lineAt } from '../checkout.ts';
import { type Finding, failure } from '../finding.ts';
import { importsOf } from '../imports.ts';

interface Ban {
  readonly words: string;
  readonly instead: string;
}

const BANS: readonly Ban[] = [
  { words: 'Date|performance', instead: 'take the time from the event (`nowMs`)' },
  {
    words: 'setTimeout|setInterval|setImmediate|queueMicrotask',
    instead: 'return a timer effect; it comes back as an event',
  },
  {
    words: 'Math\\.random|crypto',
    instead: 'draw from a seeded generator of src/core/prng.ts that is part of the state',
  },
  { words: 'console', instead: 'put the reason into the effect; the executor logs it' },
  { words: 'async|await|Promise', instead: 'return an effect; its outcome comes back as an event' },
  {
    words: 'process|globalThis|fetch|require|Buffer',
    instead: 'let the caller pass in what it read from the outside',
  },
];

export function checkPurity(files: readonly CheckedFile[]): Finding[] {
  return files
    .filter((file) => isCode(file) && !isTest(file) && isPure(sourceFolder(file.path) ?? ''))
    .flatMap((file) => [...bannedWords(file), ...bannedImports(file)]);
}

function bannedWords(file: CheckedFile): Finding[] {
  return BANS.flatMap(({ words, instead }) => {
    // Neither a property (`x.process`), nor a key (`process:`), nor part of a longer name.
    const pattern = new RegExp(`(?<![\\w$.#])(?:${words})(?![\\w$]|\\??:)`, 'g');
    return [...file.code.matchAll(pattern)].map((match) =>
      failure(file.path, lineAt(file, match.index), `\`${match[0]}\` in a pure folder: ${instead}`),
    );
  });
}

function bannedImports(file: CheckedFile): Finding[] {
  return importsOf(file)
    .filter(({ target }) => target === undefined)
    .map(({ specifier, line }) =>
      failure(file.path, line, `import of \`${specifier}\` in a pure folder: only src/core and pure folders`),
    );
}
