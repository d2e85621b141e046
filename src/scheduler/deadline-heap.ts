/** A binary heap of deadlines. Entries are not removed when their request is: whoever reads skips the dead ones. */
import type { RequestId } from '../core/ids.ts';

export interface Deadline {
  readonly requestId: RequestId;
  readonly deadlineMs: number;
}

export class DeadlineHeap {
  #items: Deadline[] = [];

  push(item: Deadline): void {
    const items = this.#items;
    let index = items.push(item) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = items[parent];
      if (above === undefined || above.deadlineMs <= item.deadlineMs) break;
      items[index] = above;
      index = parent;
    }
    items[index] = item;
  }

  peek(): Deadline | null {
    return this.#items[0] ?? null;
  }

  pop(): Deadline | null {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (first === undefined || last === undefined) return null;
    if (items.length > 0) this.#sink(last);
    return first;
  }

  clear(): void {
    this.#items = [];
  }

  /** Puts `item` at the root and lets it sink to its place. */
  #sink(item: Deadline): void {
    const items = this.#items;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      const left = items[child];
      if (left === undefined) break;
      const right = items[child + 1];
      let least = left;
      if (right !== undefined && right.deadlineMs < left.deadlineMs) {
        child += 1;
        least = right;
      }
      if (least.deadlineMs >= item.deadlineMs) break;
      items[index] = least;
      index = child;
    }
    items[index] = item;
  }
}
