/** Turns results into text. The last lines keep the form of node's own test runner: `# tests 12` and so on. */
import type { Counts } from './event-reporter.ts';
import type { FileResult } from './run-file.ts';

export function formatFile(file: string, result: FileResult): string {
  const { counts, failures, durationMs } = result;
  const mark = failures.length === 0 ? 'ok  ' : 'FAIL';
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
  const lines = [`${mark} ${file} (${counts.tests} tests${skipped}, ${seconds(durationMs)})`];
  for (const skip of result.skips) lines.push(`     skipped: ${skip.name}: ${skip.reason}`);
  return lines.join('\n');
}

/** The details of a failed file: each failure, then what the file printed. */
export function formatFailures(file: string, result: FileResult): string {
  const lines: string[] = [];
  for (const failure of result.failures) {
    const place = failure.line === undefined ? file : `${file}:${failure.line}`;
    lines.push('', `FAIL ${place}: ${failure.name}`, indent(failure.error));
  }
  if (result.output.trim() !== '') lines.push('', `output of ${file}:`, indent(result.output.trimEnd()));
  return lines.join('\n');
}

export function sumCounts(results: readonly FileResult[]): Counts {
  const sum = (key: keyof Counts) => results.reduce((total, result) => total + result.counts[key], 0);
  return {
    tests: sum('tests'),
    suites: sum('suites'),
    passed: sum('passed'),
    failed: sum('failed'),
    cancelled: sum('cancelled'),
    skipped: sum('skipped'),
    todo: sum('todo'),
  };
}

export function formatSummary(counts: Counts, durationMs: number): string {
  return [
    `# tests ${counts.tests}`,
    `# suites ${counts.suites}`,
    `# pass ${counts.passed}`,
    `# fail ${counts.failed}`,
    `# cancelled ${counts.cancelled}`,
    `# skipped ${counts.skipped}`,
    `# todo ${counts.todo}`,
    `# duration_ms ${Math.round(durationMs)}`,
  ].join('\n');
}

function indent(text: string): string {
  return text
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n');
}

function seconds(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(1)} s`;
}
