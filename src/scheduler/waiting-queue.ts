/**
 * One model's waiting requests: first come, first served, those that came back from an engine before all others.
 * Invariant Q1: `size` equals the requests that wait, and `arrivedSumMs` the sum of their arrivals (the waiting work is
 * computed from it without a walk).
 * Invariant Q2: entries in the heap of deadlines that are dead (their request has gone on, or came back with a later deadline)
 * are at most as many as the living ones and some, however long the queue never is empty.
 */
import { assert } from '../core/assert.ts';
import { Heap } from '../core/heap.ts';
import { IdMap } from '../core/id-map.ts';
import type { RequestId } from '../core/ids.ts';

export interface QueuedRequest {
  readonly requestId: RequestId;
  readonly arrivedMs: number;
  readonly deadlineMs: number;
  readonly patienceMs: number;
  /** Needs no device. */
  readonly light: boolean;
  /** Times it was sent to an engine and may have been seen there. */
  resends: number;
  /** Times it was cut before its first byte and queued again. */
  cuts: number;
  /** Engines that died with this request alone in flight. */
  loneDeaths: number;
}

/** So many dead entries are no matter. */
const DEAD_MIN = 64;

export class WaitingQueue {
  #fresh = new IdMap<QueuedRequest>();
  #returned = new IdMap<QueuedRequest>();
  /** Entries are not removed when their request is: whoever reads skips the dead ones. */
  #deadlines = byDeadline([]);
  #arrivedSumMs = 0;
  #lightCount = 0;

  /** Requests wait, and none of them needs a device. */
  get isLight(): boolean {
    return this.#lightCount > 0 && this.#lightCount === this.size;
  }

  get size(): number {
    return this.#fresh.size + this.#returned.size;
  }

  push(request: QueuedRequest): void {
    assert(!this.#fresh.has(request.requestId), `request ${request.requestId} waits twice`);
    this.#fresh.set(request.requestId, request);
    this.#added(request);
  }

  /** Back at the head: it has waited its turn already. */
  pushReturned(request: QueuedRequest): void {
    assert(!this.#returned.has(request.requestId), `request ${request.requestId} waits twice`);
    this.#returned.set(request.requestId, request);
    this.#added(request);
  }

  /** The next to be dispatched; null: nobody waits. */
  first(): QueuedRequest | null {
    return this.#returned.first() ?? this.#fresh.first() ?? null;
  }

  shift(): QueuedRequest | null {
    const first = this.first();
    if (first !== null) this.remove(first.requestId);
    return first;
  }

  remove(requestId: RequestId): QueuedRequest | null {
    const source = this.#returned.has(requestId) ? this.#returned : this.#fresh;
    const request = source.get(requestId);
    if (request === undefined) return null;
    source.delete(requestId);
    this.#arrivedSumMs -= request.arrivedMs;
    if (request.light) this.#lightCount -= 1;
    if (this.size === 0) {
      this.#arrivedSumMs = 0;
      this.#deadlines = byDeadline([]);
    }
    return request;
  }

  get(requestId: RequestId): QueuedRequest | null {
    return this.#returned.get(requestId) ?? this.#fresh.get(requestId) ?? null;
  }

  /** The nearest deadline of a waiting request; Infinity when nobody waits. */
  nextDeadlineMs(): number {
    for (;;) {
      const next = this.#deadlines.peek();
      if (next === null) return Number.POSITIVE_INFINITY;
      if (this.get(next.requestId) === next) return next.deadlineMs;
      this.#deadlines.pop();
    }
  }

  /** Removes and returns a request whose deadline is at or before `nowMs`, or null. */
  takeExpired(nowMs: number): QueuedRequest | null {
    if (this.nextDeadlineMs() > nowMs) return null;
    const next = this.#deadlines.pop();
    return next === null ? null : this.remove(next.requestId);
  }

  /** Deadlines that are remembered, dead ones included. */
  get deadlineCount(): number {
    return this.#deadlines.size;
  }

  /** Milliseconds that all waiting requests together have waited. */
  waitedSumMs(nowMs: number): number {
    return this.size * nowMs - this.#arrivedSumMs;
  }

  *[Symbol.iterator](): Iterator<QueuedRequest> {
    yield* this.#returned.values();
    yield* this.#fresh.values();
  }

  #added(request: QueuedRequest): void {
    this.#arrivedSumMs += request.arrivedMs;
    if (request.light) this.#lightCount += 1;
    if (request.deadlineMs === Number.POSITIVE_INFINITY) return;
    this.#deadlines.push(request);
    if (this.#deadlines.size > 2 * this.size + DEAD_MIN)
      this.#deadlines = byDeadline(
        [...this].filter(({ deadlineMs }) => deadlineMs < Number.POSITIVE_INFINITY),
      );
  }
}

function byDeadline(requests: QueuedRequest[]): Heap<QueuedRequest> {
  return new Heap(requests, (a, b) => a.deadlineMs < b.deadlineMs);
}
