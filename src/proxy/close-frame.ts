/** A WebSocket's close frame as bytes (RFC 6455 section 5.5.1). */

import { randomBytes } from 'node:crypto';
import { MASK_BYTES, MASKED_BIT } from './frame-reader.ts';

/** The codes that the gateway closes with. */
export const CLOSE_GOING_AWAY = 1001;
export const CLOSE_SERVICE_RESTART = 1012;
export const CLOSE_TRY_AGAIN_LATER = 1013;

export interface CloseReason {
  readonly code: number;
  /** For people; what does not fit in a frame is cut off. */
  readonly text: string;
}

const FINAL_CLOSE = 0x88;
const CODE_BYTES = 2;
const TEXT_BYTES_MAX = 123;

/** `masked`: as a client sends it. */
export function closeFrame({ code, text }: CloseReason, masked: boolean): Buffer {
  const words = clip(text);
  const payload = Buffer.alloc(CODE_BYTES + words.length);
  payload.writeUInt16BE(code, 0);
  words.copy(payload, CODE_BYTES);
  if (!masked) return Buffer.concat([Buffer.from([FINAL_CLOSE, payload.length]), payload]);
  const mask = randomBytes(MASK_BYTES);
  for (let at = 0; at < payload.length; at++)
    payload[at] = (payload[at] as number) ^ (mask[at % MASK_BYTES] as number);
  return Buffer.concat([Buffer.from([FINAL_CLOSE, MASKED_BIT | payload.length]), mask, payload]);
}

/** At most so many bytes as a frame holds, and no half characters. */
function clip(text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length <= TEXT_BYTES_MAX) return bytes;
  let end = TEXT_BYTES_MAX;
  while (end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end -= 1;
  return bytes.subarray(0, end);
}
