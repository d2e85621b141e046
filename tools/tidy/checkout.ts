/** The files that the rules look at: those that git tracks and those that it would. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { blankCode } from './blank-code.ts';

export interface CheckedFile {
  /** Relative to the checkout, with forward slashes. */
  readonly path: string;
  readonly text: string;
  /** The text with comments, strings and regular expressions blanked; the same as `text` for what is no code. */
  readonly code: string;
}

const CODE = /\.(ts|mts|mjs|js)$/;

export function readCheckout(root: string): CheckedFile[] {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  const paths = [...new Set(listed.split('\0'))].filter((file) => file !== '').sort();
  return paths.flatMap((file) => {
    const text = readText(path.join(root, file));
    return text === undefined ? [] : [checkedFile(file, text)];
  });
}

export function checkedFile(file: string, text: string): CheckedFile {
  return { path: file, text, code: CODE.test(file) ? blankCode(text) : text };
}

export function isCode(file: CheckedFile): boolean {
  return CODE.test(file.path);
}

/** Whether only tests run the file; it is not published. */
export function isTest(file: CheckedFile): boolean {
  return /(\.(test|fuzz|bench|fixture)|-fixtures|\/conformance)\.ts$/.test(file.path);
}

/** The 1-based line of an offset in the text. */
export function lineAt(file: CheckedFile, offset: number): number {
  let line = 1;
  for (let at = file.text.indexOf('\n'); at !== -1 && at < offset; at = file.text.indexOf('\n', at + 1))
    line += 1;
  return line;
}

/** `undefined` for a binary file, and for one that is deleted but still in the index. */
function readText(file: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  return text.includes('\0') ? undefined : text;
}
