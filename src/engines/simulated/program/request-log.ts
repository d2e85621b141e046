/**
 * The engine's own book of requests (`--sim-request-log`): a line of JSON when one has come and one when it has ended, so that
 * a test can compare what clients got with what engines did. Engines may share a file.
 */
import { openSync, writeSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';

export interface RequestLine {
  readonly event: 'begin' | 'end';
  /** X-Request-Id; empty without one. */
  readonly id: string;
  readonly path: string;
  /** Of an end: what was answered; 0 for none. */
  readonly status: number;
  /** Of an end: the answer was written to its last byte. */
  readonly isWhole: boolean;
}

export interface RequestLog {
  /** Call the answer when the request has ended. */
  began(request: IncomingMessage): (status: number, isWhole: boolean) => void;
}

const NOTHING: RequestLog = { began: () => () => undefined };

/** Each line is one write at the file's end, so that lines of several processes never mix. */
export function openRequestLog(path: string | null): RequestLog {
  if (path === null) return NOTHING;
  const file = openSync(path, 'a');
  const open = new Set<() => void>();
  // The last connections may close in the same turn in which the process goes.
  process.once('exit', () => {
    for (const cut of open) cut();
  });
  const write = (line: RequestLine): void => {
    writeSync(file, `${JSON.stringify(line)}\n`);
  };
  return {
    began: ({ headers, url = '' }) => {
      const common = { id: String(headers['x-request-id'] ?? ''), path: url };
      const end = (status: number, isWhole: boolean): void => {
        open.delete(cut);
        write({ event: 'end', ...common, status, isWhole });
      };
      const cut = (): void => end(0, false);
      open.add(cut);
      write({ event: 'begin', ...common, status: 0, isWhole: false });
      return end;
    },
  };
}
