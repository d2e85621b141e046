/**
 * Heads of answers whose first body byte has not come yet. They are held back for a moment: head and first chunk then
 * leave in one write, and an engine that dies right after its head costs the client nothing, because nothing was sent.
 */

import { DenseList, type Listed } from '../core/dense-list.ts';

/** A head goes out alone when no byte followed it for one to two times this long. */
const HEAD_HOLD_MS = 100;

export interface HeldHead extends Listed {
  /** Sends the head now; called only while it is held. */
  sendHead(): void;
}

export class HeldHeads {
  #young = new DenseList<HeldHead>();
  #old = new DenseList<HeldHead>();
  #timer: NodeJS.Timeout | null = null;
  readonly #turn = (): void => {
    this.#timer = null;
    const due = this.#old;
    this.#old = this.#young;
    this.#young = due;
    for (const head of [...due.items]) {
      // Sending one head may end the request of another.
      if (due.items[head.listIndex] !== head) continue;
      due.remove(head);
      head.sendHead();
    }
    this.#arm();
  };

  hold(head: HeldHead): void {
    this.#young.add(head);
    if (this.#timer === null) this.#arm();
  }

  release(head: HeldHead): void {
    this.#young.remove(head);
    this.#old.remove(head);
  }

  /** One timer for all of them; it stops by itself when no head is held. */
  #arm(): void {
    if (this.#young.size > 0 || this.#old.size > 0) this.#timer = setTimeout(this.#turn, HEAD_HOLD_MS);
  }
}
