/** Who asks for what, when: a trace, a generator, or clients that answer to what they get. */

export interface SimulatedRequest {
  readonly atMs: number;
  readonly model: string;
  readonly promptTokens: number;
  readonly outputTokens: number;
}

export type RequestEnd = 'answered' | 'refused' | 'left';

/** One run of a source; a source may be opened again for another run, and gives the same requests. */
export interface RequestStream {
  /** The next request that no answer has caused, in order of time; null: there are no more. Reads as it goes, and keeps nothing. */
  next(): SimulatedRequest | null;
  /** Closed-loop clients: what the client of this request asks next, at `atMs` or later; null: nothing. Absent: open loop. */
  ended?(request: SimulatedRequest, end: RequestEnd, atMs: number): SimulatedRequest | null;
  close(): void;
}

export interface RequestSource {
  /** Names of all models that may be asked for. */
  readonly models: readonly string[];
  open(): RequestStream;
}
