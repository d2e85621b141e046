/** How long requests of each model waited for their engine, those that got no answer included. */
import type { RequestEnd } from '../request-source.ts';
import type { RequestTimes, SimulationObserver } from '../simulation-observer.ts';

export class ScenarioWaits implements SimulationObserver {
  readonly #byModel = new Map<string, { count: number; sumMs: number; longestMs: number }>();
  readonly ends: Record<RequestEnd, number> = { answered: 0, refused: 0, left: 0 };

  dispatched({ request, arrivedMs }: RequestTimes, nowMs: number): void {
    this.#waited(request.model, nowMs - arrivedMs);
  }

  ended({ request, arrivedMs, dispatchedMs }: RequestTimes, end: RequestEnd, nowMs: number): void {
    this.ends[end] += 1;
    if (dispatchedMs === null && end === 'left') this.#waited(request.model, nowMs - arrivedMs);
  }

  /** In seconds. */
  meanS(model: string): number {
    const { count, sumMs } = this.#of(model);
    return sumMs / Math.max(1, count) / 1000;
  }

  longestS(model: string): number {
    return this.#of(model).longestMs / 1000;
  }

  #waited(model: string, ms: number): void {
    const waits = this.#of(model);
    waits.count += 1;
    waits.sumMs += ms;
    waits.longestMs = Math.max(waits.longestMs, ms);
  }

  #of(model: string): { count: number; sumMs: number; longestMs: number } {
    const known = this.#byModel.get(model);
    if (known !== undefined) return known;
    const fresh = { count: 0, sumMs: 0, longestMs: 0 };
    this.#byModel.set(model, fresh);
    return fresh;
  }
}
