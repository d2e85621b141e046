/** The port of the activity log: what became of each request, kept for people. */

/** One finished request. Times in milliseconds, `endedWallMs` since 1970. No bodies, no keys. */
export interface ActivityEntry {
  readonly endedWallMs: number;
  readonly clientRequestId: string;
  /** The address that the request came from, as far as it is told; null for clients of a Unix socket. */
  readonly clientAddress: string | null;
  readonly principal: string | null;
  readonly model: string | null;
  /** The route table's name of the path. */
  readonly route: string;
  readonly method: string;
  readonly outcome: string;
  readonly status: number;
  readonly code: string | null;
  readonly load: string | null;
  readonly streamed: boolean;
  readonly waitMs: number;
  readonly ttfbMs: number | null;
  readonly durationMs: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly attempts: number;
}

export interface ActivityLog {
  /** Takes a copy and returns at once; nothing on a request's way waits for a disk. A full queue drops it and counts. */
  add(entry: ActivityEntry): void;
  /** Entries that were dropped: the queue was full, or the disk failed. */
  readonly dropped: number;
  /** Writes what is queued, within a time limit. */
  close(): Promise<void>;
}
