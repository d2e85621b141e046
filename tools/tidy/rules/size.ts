/** Files stay small enough to be read in one go. Only the last limit fails. Function length is biome's to note. */
import { type CheckedFile, isCode } from '../checkout.ts';
import { type Finding, failure } from '../finding.ts';

const LINES_NOTED = 400;
const LINES_MAX = 600;

export function checkSize(files: readonly CheckedFile[]): Finding[] {
  return files.flatMap((file) => {
    if (!isCode(file) && !file.path.endsWith('.py')) return [];
    const lines = file.text.split('\n').length - (file.text.endsWith('\n') ? 1 : 0);
    if (lines > LINES_MAX)
      return [failure(file.path, 0, `${lines} lines; split it: ${LINES_MAX} is the limit`)];
    if (lines <= LINES_NOTED) return [];
    return [
      {
        level: 'note',
        path: file.path,
        line: 0,
        message: `${lines} lines; over ${LINES_NOTED} wants a split`,
      },
    ];
  });
}
