/**
 * Nobody starves: a model that requests wait for gets one dispatched within what the order of turns proves for any machine,
 * `(n + 1) max_j (c_j + q_j + d_j) + c_i` for n others (scheduler/design.md), by the longest moves that were seen. Only of
 * the policy that promises it.
 */
import type { Effect } from '../../scheduler/effects.ts';
import type { SchedulerEvent } from '../../scheduler/events.ts';
import type { ModelState, SchedulerState } from '../../scheduler/state.ts';
import { TURNS } from '../../scheduler/turns-policy.ts';
import type { MachineMove } from '../simulation-observer.ts';
import type { Checker, Report } from './checker.ts';

/** What requests may take to end once they are cut. */
const CUT_MS = 5_000;
/** All models are looked at once in so many decisions. */
const LOOK_PERIOD = 16;

export class BoundedWaitChecker implements Checker {
  readonly #report: Report;
  readonly #isVoid: () => boolean;
  /** Since when requests wait for it and none was dispatched. */
  readonly #sinceMs = new Map<ModelState, number>();
  /** The longest moves of any model, by kind. */
  readonly #longestMs = { start: 0, wake: 0, sleep: 0, stop: 0 };
  #decisions = 0;

  /** `isVoid`: an assumption of the proof does not hold at present. */
  constructor(report: Report, isVoid: () => boolean = () => false) {
    this.#report = report;
    this.#isVoid = isVoid;
  }

  began(): void {
    this.#sinceMs.clear();
  }

  moved({ kind, fromMs, toMs }: MachineMove): void {
    this.#longestMs[kind] = Math.max(this.#longestMs[kind], toMs - fromMs);
  }

  decided(event: SchedulerEvent, effects: readonly Effect[], state: SchedulerState, nowMs: number): void {
    if (state.policy.name !== TURNS.name) return;
    let isShorter = event.kind === 'left';
    for (const effect of effects) {
      if (effect.kind === 'refuse') isShorter = true;
      if (effect.kind !== 'dispatch') continue;
      const model = state.models.get(effect.model);
      if (model !== undefined) this.#sinceMs.delete(model);
    }
    this.#decisions += 1;
    // Where requests go otherwise than to their engine, nobody may wait any more.
    if (isShorter || this.#decisions % LOOK_PERIOD === 0) this.#look(state, nowMs);
  }

  #look(state: SchedulerState, nowMs: number): void {
    const isVoid = this.#isVoid();
    const boundMs = this.#boundMs(state);
    for (const model of state.models.values()) {
      // Whose slots are taken waits for its own requests.
      const waits = model.queue.size > 0 && model.running.size < model.policy.maxConcurrent;
      if (!waits || isVoid) {
        this.#sinceMs.delete(model);
        continue;
      }
      const sinceMs = this.#sinceMs.get(model);
      if (sinceMs === undefined) this.#sinceMs.set(model, nowMs);
      else if (nowMs - sinceMs > boundMs) {
        this.#sinceMs.set(model, nowMs);
        const [waitedS, boundS] = [nowMs - sinceMs, boundMs].map((ms) => Math.round(ms / 1000));
        this.#report(`${model.policy.name} has waited for ${waitedS} s, and the bound is ${boundS} s`);
      }
    }
  }

  #boundMs(state: SchedulerState): number {
    const { start, wake, sleep, stop } = this.#longestMs;
    const switchMs = Math.max(start, wake) + Math.max(sleep, stop);
    const { switchShare } = state.scheduling;
    const turnMs = (switchMs * (1 - switchShare)) / switchShare;
    let longestMs = 0;
    for (const { policy } of state.models.values()) {
      const drainMs = policy.drainTimeoutMs + CUT_MS;
      longestMs = Math.max(longestMs, Math.max(turnMs, policy.minResidenceMs) + drainMs);
    }
    return (state.models.size + 1) * (switchMs + longestMs) + switchMs;
  }
}
