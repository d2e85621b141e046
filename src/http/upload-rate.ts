/**
 * Bodies that trickle: a client that sends slower than the least rate holds its connection and what it sent for next to
 * nothing. Looked at by the timer of all connections; a request counts its bytes anyway, so that this costs it nothing.
 */
import type { Refusal } from '../core/errors.ts';

/** A new connection's first bytes may take their time. */
export const UPLOAD_GRACE_MS = 10_000;

/** A body that is being read. */
export interface Upload {
  /** When its head was complete. */
  readonly startedMs: number;
  /** Bytes of the body so far. */
  readonly uploadedBytes: number;
}

/** Null: it is fast enough, or young enough. `bytesPerSMin` 0: whatever its rate. */
export function uploadFault(upload: Upload, nowMs: number, bytesPerSMin: number): Refusal | null {
  const countedMs = nowMs - upload.startedMs - UPLOAD_GRACE_MS;
  if (countedMs <= 0 || upload.uploadedBytes * 1000 >= bytesPerSMin * countedMs) return null;
  return { code: 'body_too_slow', parameters: { bytesPerS: bytesPerSMin } };
}
