/**
 * A bag with cheap adding, removing and walking, for what comes and goes thousands of times a second.
 *
 * It exists because `Set` and `Map` cost a garbage collection each time they are used so: they replace their table all
 * the time, each table points to its successor, and once one table is old all later ones, with everything that was ever
 * in them, stay until the next full collection (measured: 7 of 34 microseconds of a proxied request).
 */

import { assert } from './assert.ts';

/** -1: in no list. Written by the list alone; an item is in at most one list at a time. */
export interface Listed {
  listIndex: number;
}

export class DenseList<T extends Listed> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** In no particular order. Valid until the list changes. */
  get items(): readonly T[] {
    return this.#items;
  }

  add(item: T): void {
    assert(item.listIndex === -1, 'an item was added to a second list');
    item.listIndex = this.#items.length;
    this.#items.push(item);
  }

  /** Harmless for an item that is not in this list. */
  remove(item: T): void {
    const index = item.listIndex;
    if (this.#items[index] !== item) return;
    item.listIndex = -1;
    const last = this.#items.pop();
    if (last === undefined || last === item) return;
    this.#items[index] = last;
    last.listIndex = index;
  }
}
