/** A binary heap: the item that goes before all others first. Equal items come in any order. */
export class Heap<T> {
  readonly #items: T[];
  readonly #isBefore: (a: T, b: T) => boolean;

  /** Takes `items` over. */
  constructor(items: T[], isBefore: (a: T, b: T) => boolean) {
    this.#items = items;
    this.#isBefore = isBefore;
    for (let index = (items.length >> 1) - 1; index >= 0; index -= 1) {
      const item = items[index];
      if (item !== undefined) this.#sink(item, index);
    }
  }

  get size(): number {
    return this.#items.length;
  }

  peek(): T | null {
    return this.#items[0] ?? null;
  }

  push(item: T): void {
    const items = this.#items;
    let index = items.push(item) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = items[parent];
      if (above === undefined || !this.#isBefore(item, above)) break;
      items[index] = above;
      index = parent;
    }
    items[index] = item;
  }

  pop(): T | null {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (first === undefined || last === undefined) return null;
    if (items.length > 0) this.#sink(last, 0);
    return first;
  }

  /** In no order. */
  [Symbol.iterator](): Iterator<T> {
    return this.#items[Symbol.iterator]();
  }

  /** Puts `item` at the place and lets it sink from there. */
  #sink(item: T, place: number): void {
    const items = this.#items;
    let index = place;
    for (;;) {
      let child = 2 * index + 1;
      let least = items[child];
      if (least === undefined) break;
      const right = items[child + 1];
      if (right !== undefined && this.#isBefore(right, least)) {
        child += 1;
        least = right;
      }
      if (!this.#isBefore(least, item)) break;
      items[index] = least;
      index = child;
    }
    items[index] = item;
  }
}
