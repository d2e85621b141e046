/** Every request ends exactly once, as its client sees it. */
import type { RequestEnd } from '../request-source.ts';
import type { RequestTimes } from '../simulation-observer.ts';
import type { Checker, Report } from './checker.ts';

export class ExactlyOnceChecker implements Checker {
  readonly #report: Report;
  readonly #open = new Set<RequestTimes>();
  readonly #dispatched = new WeakSet<RequestTimes>();

  constructor(report: Report) {
    this.#report = report;
  }

  arrived(times: RequestTimes): void {
    if (this.#open.has(times)) this.#report(`${nameOf(times)} came twice`);
    this.#open.add(times);
  }

  dispatched(times: RequestTimes): void {
    if (!this.#open.has(times)) this.#report(`${nameOf(times)} was dispatched after its end`);
    if (this.#dispatched.has(times)) this.#report(`${nameOf(times)} was dispatched for the first time twice`);
    this.#dispatched.add(times);
  }

  ended(times: RequestTimes, end: RequestEnd): void {
    if (!this.#open.delete(times)) this.#report(`${nameOf(times)} ended twice, now ${end}`);
    if (end === 'answered' && !this.#dispatched.has(times))
      this.#report(`${nameOf(times)} was answered and went to no engine`);
  }

  finish(): void {
    const [first] = this.#open;
    if (first !== undefined)
      this.#report(`${this.#open.size} requests never ended, the first ${nameOf(first)}`);
  }
}

function nameOf({ id, request, arrivedMs }: RequestTimes): string {
  return `request ${id} of ${request.model} (came at ${Math.round(arrivedMs)} ms)`;
}
