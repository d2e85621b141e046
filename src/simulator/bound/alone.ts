/**
 * What waiting for slots costs at the least: each model alone, awake from the start or after its first cold start, served in
 * the order of arrivals. Every schedule that serves a model's requests in order dispatches each of them no sooner, since whatever
 * delays a slot only moves later dispatches back.
 */
import { at } from './at.ts';
import type { BoundModel } from './bound-model.ts';

/** Milliseconds of waits of all requests of this model, when its engine is ready from `readyMs` on. */
export function aloneWaitMs({ arrivalsMs, servicesMs, maxConcurrent }: BoundModel, readyMs: number): number {
  const slots = new SlotHeap(maxConcurrent, readyMs);
  let waitMs = 0;
  for (let index = 0; index < arrivalsMs.length; index += 1) {
    const arrivalMs = at(arrivalsMs, index);
    const dispatchMs = Math.max(arrivalMs, slots.firstMs);
    slots.replaceFirst(dispatchMs + at(servicesMs, index));
    waitMs += dispatchMs - arrivalMs;
  }
  return waitMs;
}

/** When each slot is free again, the first one on top. */
class SlotHeap {
  readonly #freeMs: Float64Array;

  constructor(slots: number, readyMs: number) {
    this.#freeMs = new Float64Array(slots).fill(readyMs);
  }

  get firstMs(): number {
    return at(this.#freeMs, 0);
  }

  replaceFirst(ms: number): void {
    const heap = this.#freeMs;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && at(heap, child + 1) < at(heap, child)) child += 1;
      if (at(heap, child) >= ms) break;
      heap[place] = at(heap, child);
      place = child;
    }
    heap[place] = ms;
  }
}
