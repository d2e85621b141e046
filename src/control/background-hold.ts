/**
 * One background response: after its create was answered its engine works on, so the lease goes on too. The engine is asked
 * how far it is until the response is terminal, its time is over, or the lease is cut.
 *
 * 1. The lease ends by exactly one `finish`, after which nothing is asked any more.
 * 2. Requests about this response may ride on the lease instead of waiting at the gate: an engine that drains takes no new
 *    requests, and the drain may well be waiting for this response. The lease ends after the last of them.
 */
import type { CancelTimer, Clock } from '../core/clock.ts';
import { errorMessage, type Refusal } from '../core/errors.ts';
import type { RequestId } from '../core/ids.ts';
import type { Admission, Gate, GiveBackCause, Lease, Outcome, Waiter } from './gate.ts';
import { askEndpoint, type QuestionAnswer } from './response-question.ts';

/** The engine is asked for the first time so long after the create was answered, then more and more seldom. */
const POLL_FIRST_MS = 250;
const POLL_MAX_MS = 2_000;
const POLL_GROWTH = 1.5;
/** However long `background_timeout` is. */
const POLLS_MAX = 100_000;
const POLL_TIMEOUT_MS = 10_000;
/** Questions in a row without a usable answer, after which the engine is taken to have lost it. */
const POLL_FAILURES_MAX = 5;
/** Shorter than what the scheduler allows after a cut. */
const CANCEL_TIMEOUT_MS = 3_000;

/** Requests that ride at once; the next one waits at the gate. */
const RIDERS_MAX = 8;

const UNFINISHED: ReadonlySet<unknown> = new Set(['queued', 'in_progress']);

export interface HeldResponse {
  readonly responseId: string;
  readonly lease: Lease;
  /** X-Request-Id of its create. */
  readonly clientRequestId: string;
  readonly timeoutMs: number;
}

/** How a background response ended: the engine's word for its state, or ours. */
export type BackgroundEnd =
  | { readonly outcome: 'answered'; readonly status: string }
  | { readonly outcome: 'cut' | 'engine_error'; readonly status: string };

export interface HoldPorts {
  readonly clock: Clock;
  readonly finish: (id: RequestId, outcome: Outcome) => void;
  readonly log: (level: 'info' | 'warn', text: string, fields: Record<string, unknown>) => void;
  /** Called once, when the lease has ended. */
  readonly ended: (hold: BackgroundHold, end: BackgroundEnd) => void;
}

type State = 'polling' | 'cancelling' | 'ended';

export class BackgroundHold implements Waiter, Gate {
  readonly response: HeldResponse;
  readonly startedMs: number;
  readonly #ports: HoldPorts;
  readonly #cancelDeadline: CancelTimer;
  #state: State = 'polling';
  #cancelPoll: CancelTimer | null = null;
  #isAsking = false;
  #pauseMs = POLL_FIRST_MS;
  #polls = 0;
  #failures = 0;
  readonly #riders = new Map<RequestId, Waiter>();
  #nextRiderId = 1;
  /** What riders are told when the lease is cut. */
  #refusal: Refusal | null = null;
  /** It has ended but for its riders. */
  #end: BackgroundEnd | null = null;

  constructor(response: HeldResponse, ports: HoldPorts) {
    this.response = response;
    this.#ports = ports;
    const { clock } = ports;
    this.startedMs = clock.nowMs();
    this.#cancelDeadline = clock.setTimer(this.startedMs + response.timeoutMs, () => this.#outOfTime());
    this.#pollIn(this.#pauseMs);
  }

  /** A request about this response may ride now. */
  get takesRiders(): boolean {
    return this.#state === 'polling' && this.#end === null && this.#riders.size < RIDERS_MAX;
  }

  /** Ends the lease and leaves the response to its engine, which goes on with it. */
  letGo(): void {
    this.#riders.clear();
    this.#finish({ outcome: 'answered', status: 'left to its engine' });
  }

  // The lease.

  granted(): void {}

  refused(): void {}

  cut(refusal: Refusal): void {
    this.#cancel(refusal);
  }

  // The gate of its riders.

  admit(_admission: Admission, waiter: Waiter): RequestId {
    const requestId = this.#nextRiderId++;
    this.#riders.set(requestId, waiter);
    waiter.granted({ ...this.response.lease, requestId, waitedMs: 0, load: 'hot', queueDepth: 0 });
    return requestId;
  }

  leave(): void {}

  finish(id: RequestId): void {
    if (!this.#riders.delete(id)) return;
    if (this.#end !== null) this.#finish(this.#end);
    // Whoever asked about it has perhaps cancelled it, or been told that it is done.
    else if (this.#state === 'polling') this.#pollIn(0);
  }

  giveBack(id: RequestId, _cause: GiveBackCause, detail: string): void {
    const rider = this.#riders.get(id);
    if (rider === undefined) return;
    const { model } = this.response.lease;
    this.finish(id);
    rider.refused(this.#refusal ?? { code: 'engine_died', parameters: { model, cause: detail } });
  }

  requestRefused(): void {}

  handOver(): void {}

  #pollIn(pauseMs: number): void {
    const { clock } = this.#ports;
    this.#cancelPoll?.();
    this.#cancelPoll = clock.setTimer(clock.nowMs() + pauseMs, () => this.#poll());
  }

  #poll(): void {
    if (this.#state !== 'polling' || this.#end !== null || this.#isAsking) return;
    this.#polls += 1;
    if (this.#polls > POLLS_MAX) {
      this.#outOfTime();
      return;
    }
    this.#isAsking = true;
    this.#ask('GET', '', POLL_TIMEOUT_MS, (answer) => {
      this.#isAsking = false;
      if (this.#state === 'polling' && this.#end === null) this.#judge(answer);
    });
  }

  #judge(answer: QuestionAnswer): void {
    const status = answer.kind === 'answer' ? statusOf(answer) : null;
    if (status !== null && !UNFINISHED.has(status)) {
      this.#finish({ outcome: 'answered', status });
      return;
    }
    this.#failures = status === null ? this.#failures + 1 : 0;
    if (this.#failures >= POLL_FAILURES_MAX) {
      this.#tell('warn', 'its engine says nothing of it any more');
      this.#finish({ outcome: 'engine_error', status: 'unknown' });
      return;
    }
    this.#pollIn(this.#pauseMs);
    this.#pauseMs = Math.min(POLL_MAX_MS, this.#pauseMs * POLL_GROWTH);
  }

  #outOfTime(): void {
    const { responseId, timeoutMs } = this.response;
    this.#cancel({ code: 'background_timeout', parameters: { id: responseId, seconds: timeoutMs / 1000 } });
  }

  #cancel(refusal: Refusal): void {
    if (this.#state !== 'polling') return;
    this.#state = 'cancelling';
    this.#refusal = refusal;
    for (const rider of [...this.#riders.values()]) rider.cut(refusal);
    this.#tell('warn', `it is cancelled: ${errorMessage(refusal.code, refusal.parameters)}`);
    this.#ask('POST', '/cancel', CANCEL_TIMEOUT_MS, (answer) => {
      const isRefused = answer.kind === 'answer' && answer.status >= 500;
      if (answer.kind === 'failed' || isRefused)
        this.#tell(
          'warn',
          `its engine did not cancel it: ${answer.kind === 'failed' ? answer.detail : answer.status}`,
        );
      this.#finish({ outcome: 'cut', status: 'cancelled' });
    });
  }

  #ask(
    method: 'GET' | 'POST',
    suffix: string,
    timeoutMs: number,
    told: (answer: QuestionAnswer) => void,
  ): void {
    const { responseId, lease } = this.response;
    const path = `/v1/responses/${responseId}${suffix}`;
    askEndpoint(lease.endpoint, this.#ports.clock, { method, path, timeoutMs }, told);
  }

  #finish(end: BackgroundEnd): void {
    if (this.#state === 'ended') return;
    if (this.#riders.size > 0) {
      this.#end = end;
      return;
    }
    this.#state = 'ended';
    this.#cancelDeadline();
    this.#cancelPoll?.();
    this.#ports.finish(this.response.lease.requestId, end.outcome);
    this.#ports.ended(this, end);
  }

  #tell(level: 'info' | 'warn', text: string): void {
    const { responseId, lease, clientRequestId } = this.response;
    this.#ports.log(level, `background response ${responseId} of ${lease.model}: ${text}`, {
      model: lease.model,
      request: clientRequestId,
      response: responseId,
    });
  }
}

/** The engine's word; null: it gave none. An engine that does not know it has nothing to work on. */
function statusOf({ status, body }: Extract<QuestionAnswer, { kind: 'answer' }>): string | null {
  if (status === 404) return 'forgotten';
  if (status !== 200) return null;
  try {
    const value: unknown = JSON.parse(body);
    const told = typeof value === 'object' && value !== null && 'status' in value ? value.status : null;
    return typeof told === 'string' ? told : null;
  } catch {
    return null;
  }
}
