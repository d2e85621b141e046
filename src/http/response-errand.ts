/**
 * What one request of the Responses API needs beyond being passed on: the engine that it must come to, the id of what it
 * creates, and the lease that goes on where it creates in the background.
 */
import type { BackgroundResponses } from '../control/background-responses.ts';
import type { Gate, Lease, Outcome } from '../control/gate.ts';
import type { Refusal } from '../core/errors.ts';
import type { AnswerWatch } from '../proxy/forward.ts';
import { ResponseIdReader } from './response-id.ts';
import { endedEngine, type ResponseOwner, type ResponseOwners } from './response-owners.ts';

/** Outcomes of a create after which its engine goes on with what it makes in the background. */
const GOES_ON: ReadonlySet<Outcome> = new Set(['answered', 'client_left', 'client_stalled', 'cut']);

export interface CreateErrand {
  readonly owners: ResponseOwners;
  /** Null: it is not made in the background. */
  readonly background: BackgroundResponses | null;
  readonly clientRequestId: string;
  readonly timeoutMs: number;
}

export interface ErrandOptions {
  /** Where it is to be admitted. */
  readonly gate: Gate;
  /** Under this name, which says whether it needs a device. */
  readonly path: string;
  /** The response that it is about, and the one engine that has it; null: any engine of its model will do. */
  readonly wanted: { readonly id: string; readonly owner: ResponseOwner } | null;
  /** Null: it creates nothing. */
  readonly create: CreateErrand | null;
}

export class ResponseErrand implements AnswerWatch {
  readonly gate: Gate;
  readonly path: string;
  readonly #wanted: ErrandOptions['wanted'];
  readonly #create: CreateErrand | null;
  #lease: Lease | null = null;
  #reader: ResponseIdReader | null = null;
  #createdId: string | null = null;

  constructor({ gate, path, wanted, create }: ErrandOptions) {
    this.gate = gate;
    this.path = path;
    this.#wanted = wanted;
    this.#create = create;
  }

  /** Judges the engine that it came to; null: it is the right one. */
  refusalOf(lease: Lease): Refusal | null {
    this.#lease = lease;
    const wanted = this.#wanted;
    if (wanted === null || wanted.owner.launchId === lease.launchId) return null;
    return endedEngine(wanted.id, wanted.owner.model).refusal;
  }

  head(status: number, eventStream: boolean): void {
    const create = this.#create;
    const lease = this.#lease;
    if (create === null || lease === null || status !== 200) return;
    this.#reader = new ResponseIdReader(eventStream, (id) => {
      this.#createdId = id;
      create.owners.learn(id, { model: lease.model, launchId: lease.launchId });
    });
  }

  piece(piece: Buffer): void {
    this.#reader?.piece(piece);
  }

  /** True: the lease goes on for what the engine makes in the background, and is not the request's to end any more. */
  keepsLease(outcome: Outcome, cut: Refusal | null): boolean {
    const id = this.#createdId;
    const lease = this.#lease;
    const create = this.#create;
    if (create === null || create.background === null || id === null || lease === null) return false;
    if (!GOES_ON.has(outcome)) return false;
    const { clientRequestId, timeoutMs } = create;
    const hold = create.background.hold({ responseId: id, lease, clientRequestId, timeoutMs });
    if (outcome === 'cut' && cut !== null) hold.cut(cut);
    return true;
  }
}
