/**
 * The early 200 of a stream that waits: its head after a while, frames of progress from then on until the engine's first
 * byte, and the end where there is none.
 *
 * 1. The head goes out at most once; before it nothing does, so that whoever is served sooner sees no difference.
 * 2. One timer for a waiting request and none for others; `stop` ends it, and every other end does, too.
 * 3. Nothing piles up: a client that does not read is told nothing more until it does, and one whose turn on its
 *    connection has not come yet gets its head when it has.
 */
import type { Lease } from '../control/gate.ts';
import type { CancelTimer, Clock } from '../core/clock.ts';
import type { ModelName } from '../core/ids.ts';
import { headerText } from './client-head.ts';
import type { FrontResponse } from './front-messages.ts';
import {
  type ChatStream,
  leaseComment,
  progressComment,
  reasoningChunk,
  roleChunk,
} from './progress-frames.ts';
import { ProgressTrack } from './progress-track.ts';
import type { WaitEstimates } from './wait-estimates.ts';

/** From one frame to the next. */
const FRAME_INTERVAL_MS = 10_000;
/** How often it is looked whether a pipelined response's turn has come. */
const TURN_LOOK_MS = 1_000;

export interface ProgressSettings {
  readonly progress: 'off' | 'comments' | 'reasoning';
  /** From the beginning of the wait to the head. */
  readonly progressAfterMs: number;
}

export interface ProgressAnswerOptions {
  readonly kind: 'comments' | 'reasoning';
  readonly afterMs: number;
  /** When the wait began, on the clock's scale. */
  readonly sinceMs: number;
  readonly model: ModelName;
  readonly requestId: string;
  /** HTTP/1.1 or later: the client understands chunks. */
  readonly takesChunks: boolean;
  readonly response: Pick<
    FrontResponse,
    | 'writeHead'
    | 'write'
    | 'end'
    | 'once'
    | 'socket'
    | 'req'
    | 'destroyed'
    | 'writableEnded'
    | 'writableLength'
  >;
  readonly clock: Clock;
  readonly estimates: WaitEstimates;
  readonly owner: ProgressOwner;
}

export interface ProgressOwner {
  /** The connection ends with this request's answer. */
  readonly isLast: boolean;
  /** Flat list for web pages of other origins. */
  readonly corsHeaders: readonly string[];
  /** The head of the early answer is being written. */
  progressBegan(): void;
}

export class ProgressAnswer {
  /** The early head went out. */
  begun = false;
  /** Bytes of the body so far. */
  bytes = 0;
  readonly #options: ProgressAnswerOptions;
  readonly #track: ProgressTrack;
  readonly #stream: ChatStream;
  /** Null while it waits for one. */
  #lease: Lease | null = null;
  #cancel: CancelTimer | null = null;

  constructor(options: ProgressAnswerOptions) {
    this.#options = options;
    this.#track = new ProgressTrack(options.sinceMs);
    const { requestId, model, clock } = options;
    this.#stream = { requestId, model, createdS: Math.floor(clock.wallMs() / 1000) };
  }

  /** The request waits for an engine from now on, for the first time or again. */
  wait(): void {
    this.#lease = null;
    const { sinceMs, afterMs, clock } = this.#options;
    if (this.#cancel === null) this.#arm(this.begun ? clock.nowMs() : sinceMs + afterMs);
  }

  /** An engine has the request. */
  answering(lease: Lease): void {
    if (!this.begun) {
      this.stop();
      return;
    }
    this.#lease = lease;
    this.#write(leaseComment(lease, this.#track.percent));
  }

  /** Nothing more is told: the engine's first byte came, or nobody listens any more. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  /** Ends an early answer with an error's event, and its connection with it: nothing takes it for a clean end. */
  fail(frame: string | Buffer): void {
    this.stop();
    const { response } = this.#options;
    if (!this.#isWritable) return;
    this.#write(frame);
    const { socket } = response.req;
    response.once('finish', () => socket.destroySoon());
    response.end();
  }

  /** Ends an early answer with its last events. */
  complete(frames: string | Buffer): void {
    this.stop();
    if (!this.#isWritable) return;
    this.#write(frames);
    this.#options.response.end();
  }

  get #isWritable(): boolean {
    const { response } = this.#options;
    return !response.destroyed && !response.writableEnded;
  }

  #arm(atMs: number): void {
    this.#cancel = this.#options.clock.setTimer(atMs, () => this.#tell());
  }

  #tell(): void {
    this.#cancel = null;
    const { response, clock } = this.#options;
    if (!this.#isWritable) return;
    const { socket } = response;
    if (socket === null) {
      this.#arm(clock.nowMs() + TURN_LOOK_MS);
      return;
    }
    const isFirst = !this.begun;
    if (isFirst) this.#begin();
    if (isFirst || socket.writableLength === 0) this.#write(this.#frames(isFirst));
    this.#arm(clock.nowMs() + FRAME_INTERVAL_MS);
  }

  #begin(): void {
    const { response, requestId, model, takesChunks, owner } = this.#options;
    const headers = ['content-type', 'text/event-stream; charset=utf-8', 'cache-control', 'no-cache'];
    headers.push('x-accel-buffering', 'no', 'x-request-id', requestId, 'x-model', headerText(model));
    headers.push(...owner.corsHeaders);
    if (takesChunks) headers.push('transfer-encoding', 'chunked');
    if (owner.isLast) headers.push('connection', 'close');
    this.begun = true;
    owner.progressBegan();
    response.writeHead(200, headers);
  }

  #frames(isFirst: boolean): string {
    const { clock, estimates, model, kind } = this.#options;
    if (this.#lease !== null) return leaseComment(this.#lease, this.#track.percent);
    const report = this.#track.report(estimates.of(model), clock.nowMs());
    if (kind === 'comments') return progressComment(report);
    return (isFirst ? roleChunk(this.#stream) : '') + reasoningChunk(this.#stream, report);
  }

  #write(frames: string | Buffer): void {
    this.bytes += Buffer.byteLength(frames);
    this.#options.response.write(frames);
  }
}
