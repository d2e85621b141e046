/** The import statements of a file, found in its blanked code and read from its text. */
import path from 'node:path';
import { type CheckedFile, lineAt } from './checkout.ts';

export interface Import {
  /** As written: `../core/ids.ts`, `node:fs`, `undici`. */
  readonly specifier: string;
  readonly line: number;
  readonly isTypeOnly: boolean;
  /** Path in the checkout when the specifier is relative. */
  readonly target: string | undefined;
}

/** `import … from '`, `export … from '`, `import '` and `import('`, up to the quote that opens the specifier. */
const STATEMENT = /(?<![\w$.])(import|export)\b(\s+type\b)?(?:[^'";()]*?\bfrom)?\s*\(?\s*(['"])/g;

export function importsOf(file: CheckedFile): Import[] {
  const imports: Import[] = [];
  for (const match of file.code.matchAll(STATEMENT)) {
    const start = match.index + match[0].length;
    const end = file.text.indexOf(match[3] ?? "'", start);
    const specifier = file.text.slice(start, end);
    const target = specifier.startsWith('.')
      ? path.posix.join(path.posix.dirname(file.path), specifier)
      : undefined;
    imports.push({ specifier, line: lineAt(file, match.index), isTypeOnly: match[2] !== undefined, target });
  }
  return imports;
}
