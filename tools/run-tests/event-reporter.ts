/**
 * A node:test reporter that runs inside the process of a test file. It writes what `run-file.ts` reads: a JSON line
 * for each failed or skipped test and a last one for the whole file. A file without that last line did not end well.
 */
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

export type ReportLine =
  | {
      readonly kind: 'fail';
      readonly name: string;
      readonly line: number | undefined;
      readonly error: string;
    }
  | { readonly kind: 'skip'; readonly name: string; readonly reason: string }
  | { readonly kind: 'end'; readonly counts: Counts; readonly isSuccess: boolean };

/** `tests` is the sum of all others but `suites`. */
export interface Counts {
  readonly tests: number;
  readonly suites: number;
  readonly passed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly skipped: number;
  readonly todo: number;
}

// biome-ignore lint/style/noDefaultExport: node loads a reporter by its default export
export default async function* reportEvents(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    const line = toLine(event);
    if (line !== undefined) yield `${JSON.stringify(line)}\n`;
  }
}

function toLine(event: TestEvent): ReportLine | undefined {
  if (event.type === 'test:fail') {
    const { name, line, details, todo } = event.data;
    // A parent that fails because of its children says nothing that their own lines do not say.
    if (failureType(details.error) === 'subtestsFailed' || (todo !== undefined && todo !== false))
      return undefined;
    return { kind: 'fail', name, line, error: inspect(details.error.cause ?? details.error, { depth: 6 }) };
  }
  if (event.type === 'test:pass') {
    const { name, skip } = event.data;
    if (skip === undefined || skip === false) return undefined;
    return { kind: 'skip', name, reason: typeof skip === 'string' && skip !== '' ? skip : 'no reason given' };
  }
  if (event.type === 'test:summary') {
    const { tests, suites, passed, cancelled, skipped, todo } = event.data.counts;
    const failed = tests - passed - cancelled - skipped - todo;
    const counts = { tests, suites, passed, failed, cancelled, skipped, todo };
    return { kind: 'end', counts, isSuccess: event.data.success };
  }
  return undefined;
}

function failureType(error: Error): unknown {
  return 'failureType' in error ? error.failureType : undefined;
}
