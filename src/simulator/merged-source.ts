/** Several sources as one, in order of time. */
import type { RequestEnd, RequestSource, RequestStream, SimulatedRequest } from './request-source.ts';

/** A source that is asked about a request of another one must answer null, as all of ours do. */
export function mergedSource(sources: readonly RequestSource[]): RequestSource {
  const [only] = sources;
  if (only !== undefined && sources.length === 1) return only;
  return {
    models: [...new Set(sources.flatMap(({ models }) => models))],
    open: () => new MergedStream(sources.map((source) => source.open())),
  };
}

class MergedStream implements RequestStream {
  readonly #streams: readonly RequestStream[];
  readonly #heads: (SimulatedRequest | null)[];

  constructor(streams: readonly RequestStream[]) {
    this.#streams = streams;
    this.#heads = streams.map((stream) => stream.next());
  }

  next(): SimulatedRequest | null {
    let first: SimulatedRequest | null = null;
    let place = -1;
    for (const [index, head] of this.#heads.entries()) {
      if (head === null || (first !== null && head.atMs >= first.atMs)) continue;
      first = head;
      place = index;
    }
    if (first !== null) this.#heads[place] = this.#streams[place]?.next() ?? null;
    return first;
  }

  ended(request: SimulatedRequest, end: RequestEnd, atMs: number): SimulatedRequest | null {
    for (const stream of this.#streams) {
      const next = stream.ended?.(request, end, atMs) ?? null;
      if (next !== null) return next;
    }
    return null;
  }

  close(): void {
    for (const stream of this.#streams) stream.close();
  }
}
