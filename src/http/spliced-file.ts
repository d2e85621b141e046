/** A body in a file with one range of its bytes exchanged, without a copy of the file. */
import type { FileBody, RequestBody } from '../proxy/endpoint-types.ts';

class SplicedFile implements FileBody {
  readonly length: number;
  readonly #file: FileBody;
  readonly #start: number;
  readonly #insert: Buffer;
  /** Where the insert ends, and how far the rest has moved. */
  readonly #insertEnd: number;
  readonly #shift: number;

  constructor(file: FileBody, start: number, end: number, insert: Buffer) {
    this.#file = file;
    this.#start = start;
    this.#insert = insert;
    this.#insertEnd = start + insert.length;
    this.#shift = this.#insertEnd - end;
    this.length = file.length + this.#shift;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    const before = this.#start - position;
    if (before > 0) return this.#file.read(target.subarray(0, Math.min(before, target.length)), position);
    if (position >= this.#insertEnd) return this.#file.read(target, position - this.#shift);
    return this.#insert.copy(target, 0, position - this.#start);
  }

  retain(): void {
    this.#file.retain();
  }

  release(): void {
    this.#file.release();
  }
}

/** `body` with `insert` in place of `[start, end)`. A file stays held by who held it, now through the result. */
export function spliceRange(
  body: Buffer | FileBody,
  start: number,
  end: number,
  insert: Buffer,
): NonNullable<RequestBody> {
  if (!Buffer.isBuffer(body)) return new SplicedFile(body, start, end, insert);
  return Buffer.concat([body.subarray(0, start), insert, body.subarray(end)]);
}
