/** One short question to an engine's server over the connections of its requests, under a lease that the asker holds. */
import type { CancelTimer, Clock } from '../core/clock.ts';
import type { AnswerHandler, Endpoint, Transmission } from '../proxy/endpoint-types.ts';
import type { TransportFault } from '../proxy/transport-fault.ts';

/** A stored response holds its whole text and, with some engines, its input. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

export interface ResponseQuestion {
  readonly method: 'GET' | 'POST';
  /** Without the endpoint's prefix. */
  readonly path: string;
  readonly timeoutMs: number;
}

export type QuestionAnswer =
  | { readonly kind: 'answer'; readonly status: number; readonly body: string }
  /** No answer within the limits; `detail` in the transport's words. */
  | { readonly kind: 'failed'; readonly detail: string };

/** Calls `told` exactly once, never before it returns. */
export function askEndpoint(
  endpoint: Endpoint,
  clock: Clock,
  question: ResponseQuestion,
  told: (answer: QuestionAnswer) => void,
): void {
  new Asking(endpoint, clock, told).begin(question);
}

class Asking implements AnswerHandler {
  readonly #endpoint: Endpoint;
  readonly #clock: Clock;
  readonly #told: (answer: QuestionAnswer) => void;
  readonly #pieces: Buffer[] = [];
  #bytes = 0;
  #status = 0;
  #transmission: Transmission | null = null;
  #cancelTimer: CancelTimer | null = null;
  #isOver = false;

  constructor(endpoint: Endpoint, clock: Clock, told: (answer: QuestionAnswer) => void) {
    this.#endpoint = endpoint;
    this.#clock = clock;
    this.#told = told;
  }

  begin({ method, path, timeoutMs }: ResponseQuestion): void {
    const { headers, pathPrefix } = this.#endpoint.options;
    this.#cancelTimer = this.#clock.setTimer(this.#clock.nowMs() + timeoutMs, () =>
      this.#fail(`no answer within ${timeoutMs} ms`),
    );
    const fields = ['accept', 'application/json'];
    for (const [name, value] of Object.entries(headers)) fields.push(name, value);
    const transmission = this.#endpoint.send(
      { method, path: pathPrefix + path, headers: fields, body: null },
      this,
    );
    if (!this.#isOver) this.#transmission = transmission;
  }

  onHead(status: number): void {
    this.#status = status;
  }

  onData(piece: Buffer): boolean {
    this.#bytes += piece.length;
    if (this.#bytes > ANSWER_BYTES_MAX) this.#fail(`an answer of more than ${ANSWER_BYTES_MAX} bytes`);
    else this.#pieces.push(Buffer.from(piece));
    return true;
  }

  onComplete(): void {
    const body = Buffer.concat(this.#pieces).toString('utf8');
    this.#end({ kind: 'answer', status: this.#status, body });
  }

  onError(fault: TransportFault): void {
    this.#end({ kind: 'failed', detail: fault.detail });
  }

  #fail(detail: string): void {
    if (this.#isOver) return;
    this.#transmission?.abort(this);
    this.#end({ kind: 'failed', detail });
  }

  #end(answer: QuestionAnswer): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelTimer?.();
    this.#transmission = null;
    // The endpoint may call from within `send`.
    queueMicrotask(() => this.#told(answer));
  }
}
