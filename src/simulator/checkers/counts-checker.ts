/**
 * What the scheduler counts as waiting and running are the requests that there are; each is dispatched while it waits, cut
 * while it runs, and never beyond what its model may run at once.
 */
import type { RequestId } from '../../core/ids.ts';
import type { Effect } from '../../scheduler/effects.ts';
import type { SchedulerEvent } from '../../scheduler/events.ts';
import type { SchedulerState } from '../../scheduler/state.ts';
import type { Checker, Report } from './checker.ts';

/** All models are counted once in so many decisions. */
const COUNT_PERIOD = 32;

type Place = 'waiting' | 'running';

export class CountsChecker implements Checker {
  readonly #report: Report;
  readonly #places = new Map<RequestId, Place>();
  #running = 0;
  #decisions = 0;

  constructor(report: Report) {
    this.#report = report;
  }

  began(): void {
    this.#places.clear();
    this.#running = 0;
  }

  decided(event: SchedulerEvent, effects: readonly Effect[], state: SchedulerState): void {
    this.#heard(event);
    for (const effect of effects) {
      if (effect.kind === 'dispatch') {
        this.#move(effect, 'waiting', 'running');
        const model = state.requests.get(effect.requestId);
        if (model?.running.has(effect.requestId) !== true)
          this.#report(`request ${effect.requestId} of ${effect.model} was dispatched and does not run`);
        else if (model.running.size > model.policy.maxConcurrent && event.kind !== 'configuration_changed')
          this.#report(
            `${effect.model} runs ${model.running.size} of ${model.policy.maxConcurrent} requests`,
          );
      } else if (effect.kind === 'refuse') this.#move(effect, 'waiting', null);
      else if (effect.kind === 'cut' && this.#places.get(effect.requestId) !== 'running')
        this.#report(`request ${effect.requestId} was cut and does not run`);
    }
    if (state.requests.size !== this.#places.size)
      this.#report(`the scheduler knows ${state.requests.size} of ${this.#places.size} requests`);
    this.#decisions += 1;
    if (this.#decisions % COUNT_PERIOD === 0) this.#countAll(state);
  }

  #heard(event: SchedulerEvent): void {
    switch (event.kind) {
      case 'arrived':
        if (this.#places.has(event.requestId)) this.#report(`request ${event.requestId} came twice`);
        this.#places.set(event.requestId, 'waiting');
        return;
      case 'left':
        // One that has been dispatched meanwhile ends by itself.
        if (this.#places.get(event.requestId) === 'waiting') this.#places.delete(event.requestId);
        return;
      case 'finished':
        if (this.#places.get(event.requestId) !== 'running') return;
        this.#places.delete(event.requestId);
        this.#running -= 1;
        return;
      case 'returned':
        if (this.#places.get(event.requestId) !== 'running') return;
        this.#places.set(event.requestId, 'waiting');
        this.#running -= 1;
        return;
      default:
        return;
    }
  }

  #move(
    { kind, requestId }: { readonly kind: string; readonly requestId: RequestId },
    from: Place,
    to: Place | null,
  ) {
    const place = this.#places.get(requestId);
    if (place !== from) {
      this.#report(`request ${requestId} got ${kind} while it was ${place ?? 'over'}`);
      return;
    }
    if (to === null) this.#places.delete(requestId);
    else this.#places.set(requestId, to);
    if (to === 'running') this.#running += 1;
  }

  #countAll(state: SchedulerState): void {
    let waiting = 0;
    let running = 0;
    for (const model of state.models.values()) {
      waiting += model.queue.size;
      running += model.running.size;
    }
    const waits = this.#places.size - this.#running;
    if (waiting !== waits) this.#report(`${waiting} requests are counted as waiting, and ${waits} wait`);
    if (running !== this.#running)
      this.#report(`${running} requests are counted as running, and ${this.#running} run`);
  }
}
