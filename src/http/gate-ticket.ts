/** One waiter's dealings with the gate, again and again: at most one admission at a time, and each lease ended once. */
import type { Gate, GiveBackCause, Lease, Outcome, Waiter } from '../control/gate.ts';
import type { ModelName, RequestId } from '../core/ids.ts';

export class GateTicket {
  readonly #gate: Gate;
  #id: RequestId | null = null;
  #isLeased = false;
  /** Counts admissions that have ended, to tell whether one did so before `admit` returned. */
  #ended = 0;

  constructor(gate: Gate) {
    this.#gate = gate;
  }

  get isLeased(): boolean {
    return this.#isLeased;
  }

  /** `queueTimeoutMs`: null for the model's own. Does nothing while it waits already. The waiter tells `granted` and `refused` before it does anything else. */
  admit(model: ModelName, target: string, queueTimeoutMs: number | null, waiter: Waiter): void {
    if (this.#id !== null) return;
    const query = target.indexOf('?');
    const path = query < 0 ? target : target.slice(0, query);
    const ended = this.#ended;
    const wish = queueTimeoutMs === null ? {} : { queueTimeoutMs };
    const id = this.#gate.admit({ model, path, body: null, ...wish }, waiter);
    if (this.#ended === ended) this.#id ??= id;
  }

  granted(lease: Lease): void {
    this.#id = lease.requestId;
    this.#isLeased = true;
  }

  refused(): void {
    this.#id = null;
    this.#ended += 1;
  }

  /** Back to waiting, with a lease only. */
  giveBack(cause: GiveBackCause, detail: string): void {
    const id = this.#id;
    if (id === null || !this.#isLeased) return;
    this.#isLeased = false;
    this.#gate.giveBack(id, cause, detail);
  }

  /** Ends the lease with `outcome`, or leaves the queue. Harmless without either. */
  end(outcome: Outcome): void {
    const id = this.#id;
    if (id === null) return;
    const wasLeased = this.#isLeased;
    this.#id = null;
    this.#isLeased = false;
    this.#ended += 1;
    if (wasLeased) this.#gate.finish(id, outcome);
    else this.#gate.leave(id);
  }
}
