/** No engine runs that nobody knows: what was reported as gone is gone, and whatever runs is in the scheduler's books. */
import type { LaunchId } from '../../core/ids.ts';
import type { Effect } from '../../scheduler/effects.ts';
import type { SchedulerEvent } from '../../scheduler/events.ts';
import type { SchedulerState } from '../../scheduler/state.ts';
import type { Checker, Report } from './checker.ts';

export class OrphanChecker implements Checker {
  readonly #report: Report;
  readonly #living: () => Iterable<LaunchId>;
  #state: SchedulerState | null = null;

  /** `living`: the launches that run on the machine at present, whoever knows them. */
  constructor(report: Report, living: () => Iterable<LaunchId>) {
    this.#report = report;
    this.#living = living;
  }

  began(state: SchedulerState): void {
    this.#state = state;
  }

  decided(event: SchedulerEvent, _effects: readonly Effect[]): void {
    if (event.kind !== 'stopped' || !event.verified) return;
    for (const launchId of this.#living())
      if (launchId === event.launchId) this.#report(`${event.model} (${launchId}) counts as gone and runs`);
  }

  finish(): void {
    for (const launchId of this.#living())
      if (this.#state?.launches.has(launchId) !== true)
        this.#report(`${launchId} runs, and nobody knows of it`);
  }
}
