/**
 * Bytes of an engine's output to lines. Progress bars end their lines with a carriage return, so both ends count; a
 * line without an end is kept only to a limit, and characters may be cut anywhere by the reader's buffer.
 */
import { StringDecoder } from 'node:string_decoder';
import { LOG_LINE_CHARS_MAX } from '../../core/limits.ts';

export interface LineSplitter {
  push(bytes: Uint8Array): void;
  /** Delivers what has no end yet. */
  flush(): void;
}

/** `onLine` gets whole lines without their end, blank ones left out, at most `LOG_LINE_CHARS_MAX` characters. */
export function createLineSplitter(onLine: (line: string) => void): LineSplitter {
  const decoder = new StringDecoder('utf8');
  let pending = '';
  const deliver = (): void => {
    const line = pending;
    pending = '';
    if (line.trim() !== '') onLine(line);
  };
  const append = (text: string): void => {
    const room = LOG_LINE_CHARS_MAX - pending.length;
    if (room > 0) pending += text.slice(0, room);
  };
  const take = (text: string): void => {
    let from = 0;
    for (const match of text.matchAll(/[\r\n]/g)) {
      append(text.slice(from, match.index));
      deliver();
      from = match.index + 1;
    }
    append(text.slice(from));
  };
  return {
    push: (bytes) => take(decoder.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))),
    flush: () => {
      take(decoder.end());
      deliver();
    },
  };
}
