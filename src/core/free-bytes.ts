/**
 * Gives the memory of large buffers back at once. Left to the collector, each of them counts towards the next collection of
 * the whole heap, and a few bodies of 10 MB force one; that was most of what such a request cost.
 */

/** Smaller ones are left to the collector: freeing one by one costs more. */
const FREED_BYTES_MIN = 16 * 1024;

/**
 * For bytes that nobody reads again and no socket is still writing; they have length 0 afterwards. Does nothing to small ones
 * and to those that share their memory with others.
 */
export function freeBytes(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (bytes.length < FREED_BYTES_MIN || !(buffer instanceof ArrayBuffer)) return;
  if (bytes.length === buffer.byteLength) buffer.transfer(0);
}
