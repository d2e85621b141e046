/**
 * A recorded run: JSON lines, the first with everything the scheduler began with, then one per event with its time and
 * effects. `replay` feeds the events to a fresh scheduler and compares.
 */
import { createWriteStream, type WriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { beginScheduling, decide } from '../scheduler/decide.ts';
import type { Effect } from '../scheduler/effects.ts';
import type { SchedulerEvent } from '../scheduler/events.ts';
import type { SchedulerSetup } from '../scheduler/model-policy.ts';

interface RecordHeader {
  readonly kind: 'run';
  readonly version: string;
  readonly startedAt: string;
  readonly beganMs: number;
  readonly setup: SchedulerSetup;
  readonly effects: readonly Effect[];
}

interface RecordLine {
  readonly atMs: number;
  readonly event: SchedulerEvent;
  readonly effects: readonly Effect[];
}

/** Bytes that may wait to be written; beyond, the record ends with a note rather than eating memory. */
const RECORD_BACKLOG_BYTES_MAX = 64 * 1024 * 1024;

export class RunRecorder {
  readonly #stream: WriteStream;
  readonly #onFault: (text: string) => void;
  #ended = false;

  /** `onFault` is told once when the record cannot go on (disk full, too slow); the gateway itself does. */
  constructor(file: string, onFault: (text: string) => void) {
    this.#onFault = onFault;
    this.#stream = createWriteStream(file, { flags: 'w' });
    this.#stream.on('error', (error) => this.#fail(error.message));
  }

  begin(
    version: string,
    startedAt: Date,
    beganMs: number,
    setup: SchedulerSetup,
    effects: readonly Effect[],
  ): void {
    const header: RecordHeader = {
      kind: 'run',
      version,
      startedAt: startedAt.toISOString(),
      beganMs,
      setup,
      effects,
    };
    this.#write(header);
  }

  add(atMs: number, event: SchedulerEvent, effects: readonly Effect[]): void {
    const line: RecordLine = { atMs, event, effects };
    this.#write(line);
  }

  close(): Promise<void> {
    if (this.#ended) return Promise.resolve();
    this.#ended = true;
    return new Promise((resolve) => this.#stream.end(resolve));
  }

  #write(value: RecordHeader | RecordLine): void {
    if (this.#ended) return;
    this.#stream.write(`${JSON.stringify(value, infinityAsText)}\n`);
    if (this.#stream.writableLength > RECORD_BACKLOG_BYTES_MAX) this.#fail('the disk is too slow for it');
  }

  #fail(why: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stream.destroy();
    this.#onFault(`the record of this run ends here: ${why}`);
  }
}

export type ReplayResult =
  | { readonly kind: 'same'; readonly events: number }
  | {
      readonly kind: 'different';
      readonly line: number;
      readonly recorded: string;
      readonly replayed: string;
    }
  | { readonly kind: 'unreadable'; readonly line: number; readonly detail: string };

/** Reads the whole record; a last line that is cut off (the gateway was killed) is left out. */
export async function replay(file: string): Promise<ReplayResult> {
  const lines = (await readFile(file, 'utf8')).split('\n');
  // What follows the last newline is empty, or a line that was cut off.
  lines.pop();
  return replayLines(lines);
}

export function replayLines(lines: readonly string[]): ReplayResult {
  const header = parse<RecordHeader>(lines[0] ?? '');
  if (header === null || header.kind !== 'run')
    return { kind: 'unreadable', line: 1, detail: 'the first line is no header of a run' };
  const { state, effects } = beginScheduling(header.setup, header.beganMs);
  const first = compare(1, header.effects, effects);
  if (first !== null) return first;
  for (let index = 1; index < lines.length; index += 1) {
    const line = parse<RecordLine>(lines[index] ?? '');
    if (line === null) return { kind: 'unreadable', line: index + 1, detail: 'it is not JSON' };
    const different = compare(index + 1, line.effects, decide(state, line.event, line.atMs));
    if (different !== null) return different;
  }
  return { kind: 'same', events: lines.length - 1 };
}

function compare(
  line: number,
  recorded: readonly Effect[],
  replayed: readonly Effect[],
): ReplayResult | null {
  const a = JSON.stringify(recorded, infinityAsText);
  const b = JSON.stringify(replayed, infinityAsText);
  return a === b ? null : { kind: 'different', line, recorded: a, replayed: b };
}

function parse<T>(text: string): T | null {
  try {
    return JSON.parse(text) as T;
  } catch {
    return null;
  }
}

/** JSON has no Infinity; no event or effect needs to read it back, but a record must not turn it into null unseen. */
function infinityAsText(_key: string, value: unknown): unknown {
  return value === Number.POSITIVE_INFINITY ? 'Infinity' : value;
}
