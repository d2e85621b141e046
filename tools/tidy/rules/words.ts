/** What no tracked file may contain, whatever its language. */
import { type CheckedFile, lineAt } from '../checkout.ts';
import { type Finding, failure } from '../finding.ts';

interface Word {
  readonly pattern: RegExp;
  readonly message: string;
}

/** Written so that no pattern matches its own source. */
const WORDS: readonly Word[] = [
  {
    pattern: /\b(?:TO[D]O|FIX[M]E|HA[C]K|XX[X])\b/g,
    message: 'finish it, or open an issue: no reminders in files',
  },
  {
    pattern:
      /\b(?:npmjs\.(?:org|com)|pypi\.org|pythonhosted\.org|crates\.io|proxy\.golang\.org|repo1\.maven\.org)\b/g,
    message: 'no host of a package registry: each client knows its own',
  },
  {
    // Where images of vLLM have their cache is no machine's choice.
    pattern: /(?<![\w.~}-])\/(?:root(?!\/\.cache\/huggingface)|work|Users\/[\w.-]+)\/[\w.]/g,
    message: 'no absolute path of one machine',
  },
  { pattern: /@ts-(?:ignore|nocheck)\b/g, message: 'use `@ts-expect-error` with a reason' },
  {
    pattern: /@ts-expect-error\s*(?:\*\/)?$/gm,
    message: 'say after `@ts-expect-error` why the error is right',
  },
];

/** Written by npm, and full of names that are not ours. */
const EXEMPT = new Set(['package-lock.json']);

export function checkWords(files: readonly CheckedFile[]): Finding[] {
  return files
    .filter((file) => !EXEMPT.has(file.path))
    .flatMap((file) =>
      WORDS.flatMap(({ pattern, message }) =>
        [...file.text.matchAll(pattern)].map((match) =>
          failure(file.path, lineAt(file, match.index), `\`${match[0]}\`: ${message}`),
        ),
      ),
    );
}
