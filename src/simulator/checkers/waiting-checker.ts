/**
 * The bound on waiting (scheduler/design.md): a model that waits for devices gets them before the sum of one longest turn
 * `w_j = c_j + q_j + d_j` of each other one that worked or waited meanwhile, and the rest R of one. Where there are several devices, the
 * turns of those that began to wait earlier count as long as the longest. Moves and turns count as long as they were seen
 * to take, and at least as the costs say that the scheduler reckons with.
 * Where an assumption of the proof does not hold it is named, and all waits begin anew when it holds again.
 */
import type { DeviceId } from '../../core/ids.ts';
import type { Effect } from '../../scheduler/effects.ts';
import type { SchedulerEvent } from '../../scheduler/events.ts';
import type { ModelState, SchedulerState } from '../../scheduler/state.ts';
import { TURNS } from '../../scheduler/turns-policy.ts';
import type { Checker, Report } from './checker.ts';
import { TurnWatch } from './turn-watch.ts';

const NEVER = Number.POSITIVE_INFINITY;
/** Of a device on which other programs hold memory. */
const FOREIGN = '(foreign memory)';

export interface WaitingCheck {
  readonly report: Report;
  /** What else makes the proof void at present, by name; null: nothing. */
  readonly voidBy?: () => string | null;
  /** Also of policies that do not promise it. */
  readonly everyPolicy?: boolean;
}

interface Wait {
  readonly sinceMs: number;
  /** Those who waited already when it began to. */
  readonly ahead: number;
  readonly aheadMs: number;
}

export class WaitingChecker implements Checker {
  readonly #check: WaitingCheck;
  readonly #watches = new Map<ModelState, TurnWatch>();
  readonly #waits = new Map<TurnWatch, Wait>();
  /** What left each device since somebody last came up there, in time. */
  readonly #leftMs = new Map<DeviceId, number>();
  #version = -1;
  /** Nobody's wait exceeds its bound before. */
  #nextCheckMs = NEVER;
  #isAlwaysOn = false;
  #deviceIds = '';
  /** The longest wait, in bounds. */
  worst = { share: 0, model: '', waitedMs: 0, boundMs: 0 };
  /** Assumptions of the proof that did not hold, and in how many decisions while somebody waited. */
  readonly suspended = new Map<string, number>();

  constructor(check: WaitingCheck) {
    this.#check = check;
  }

  began(state: SchedulerState, nowMs: number): void {
    this.#watches.clear();
    this.#waits.clear();
    this.#leftMs.clear();
    this.#version = -1;
    this.#learnSetup(state);
    for (const model of state.models.values()) this.#look(model, state, nowMs);
  }

  decided(event: SchedulerEvent, effects: readonly Effect[], state: SchedulerState, nowMs: number): void {
    if (this.#check.everyPolicy !== true && state.policy.name !== TURNS.name) return;
    if (nowMs > this.#nextCheckMs) this.#checkAll(state, nowMs);
    const isChanged = this.#heard(event, state);
    for (const effect of effects) {
      const model = 'model' in effect ? state.models.get(effect.model) : undefined;
      if (model !== undefined) this.#look(model, state, nowMs);
    }
    // Requests that wait no more name no model.
    const isAnybody = isChanged || event.kind === 'left' || effects.some(({ kind }) => kind === 'refuse');
    if (isAnybody) for (const model of state.models.values()) this.#look(model, state, nowMs);
    else if (state.engines.version !== this.#version)
      for (const model of [...this.#watches.keys()]) this.#look(model, state, nowMs);
    this.#version = state.engines.version;
    const name = 'model' in event ? event.model : event.kind === 'timer' ? event.key : null;
    const model = name === null ? undefined : state.models.get(name);
    if (model !== undefined) this.#look(model, state, nowMs);
    const assumption = isChanged ? 'devices or configuration change' : this.#brokenAssumption(state);
    if (assumption !== null && this.#waits.size > 0) this.#suspend(assumption, state, nowMs);
  }

  /** Answers whether devices or configuration have changed. */
  #heard(event: SchedulerEvent, state: SchedulerState): boolean {
    switch (event.kind) {
      case 'stopped': {
        const model = state.launches.get(event.launchId);
        const watch = model === undefined ? undefined : this.#watches.get(model);
        if (watch !== undefined) watch.isStuck = !event.verified;
        return false;
      }
      case 'configuration_changed':
      case 'operator_command':
      case 'sized':
      case 'adopted':
        this.#learnSetup(state);
        return true;
      case 'devices_changed': {
        const before = this.#deviceIds;
        this.#learnSetup(state);
        return before !== '' && this.#deviceIds !== before;
      }
      default:
        return false;
    }
  }

  #learnSetup(state: SchedulerState): void {
    this.#isAlwaysOn = [...state.models.values()].some(({ policy }) => policy.alwaysOn && policy.managed);
    this.#deviceIds = [...state.devices.values()]
      .map(({ id, foreignMib }) => (foreignMib > 0 ? `${id} ${FOREIGN}` : id))
      .join();
    for (const [model] of this.#watches)
      if (state.models.get(model.policy.name) !== model) this.#forget(model);
  }

  #forget(model: ModelState): void {
    const watch = this.#watches.get(model);
    if (watch !== undefined) this.#waits.delete(watch);
    this.#watches.delete(model);
  }

  #brokenAssumption(state: SchedulerState): string | null {
    const named = this.#check.voidBy?.() ?? null;
    if (named !== null) return named;
    if (state.closing !== 'no') return 'the gateway closes';
    if (!state.devicesKnown) return 'the devices are not known';
    if (this.#isAlwaysOn) return 'an engine is always on';
    if (this.#deviceIds.includes(FOREIGN)) return 'foreign programs take memory';
    if (state.overBudget.size > 0 || state.shortages.size > 0)
      return 'devices have less room than was reckoned';
    for (const { isStuck, drainsForEver } of this.#watches.values()) {
      if (isStuck) return 'a stop could not be verified';
      if (drainsForEver) return 'a drain has no limit';
    }
    return null;
  }

  #suspend(assumption: string, state: SchedulerState, nowMs: number): void {
    this.suspended.set(assumption, (this.suspended.get(assumption) ?? 0) + 1);
    const waiting = [...this.#waits.keys()];
    this.#waits.clear();
    this.#nextCheckMs = NEVER;
    for (const watch of waiting) this.#begin(watch, state, nowMs);
  }

  #look(model: ModelState, state: SchedulerState, nowMs: number): void {
    let watch = this.#watches.get(model);
    if (watch === undefined) {
      if (!model.policy.managed) return;
      watch = new TurnWatch(model);
      this.#watches.set(model, watch);
    }
    watch.look(nowMs, this.#leftMs);
    const wait = this.#waits.get(watch);
    if (watch.waits === (wait !== undefined)) return;
    if (wait === undefined) this.#begin(watch, state, nowMs);
    else this.#end(watch, wait, state, nowMs);
  }

  #begin(watch: TurnWatch, state: SchedulerState, nowMs: number): void {
    let ahead = 0;
    let aheadMs = 0;
    for (const other of this.#waits.keys()) {
      if (other === watch || !watch.meets(other)) continue;
      ahead += 1;
      aheadMs += other.turnMs(state.scheduling, nowMs);
    }
    const wait = { sinceMs: nowMs, ahead, aheadMs };
    this.#waits.set(watch, wait);
    this.#nextCheckMs = Math.min(this.#nextCheckMs, nowMs + this.#boundMs(watch, wait, state, nowMs));
  }

  #end(watch: TurnWatch, wait: Wait, state: SchedulerState, nowMs: number): void {
    this.#waits.delete(watch);
    const waitedMs = nowMs - wait.sinceMs;
    // No bound is less than one turn.
    if (waitedMs > this.worst.share * watch.turnMs(state.scheduling, nowMs))
      this.#note(watch, waitedMs, this.#boundMs(watch, wait, state, nowMs));
  }

  #note(watch: TurnWatch, waitedMs: number, boundMs: number): void {
    const share = boundMs === 0 ? 0 : waitedMs / boundMs;
    if (share > this.worst.share) this.worst = { share, model: watch.name, waitedMs, boundMs };
  }

  #checkAll(state: SchedulerState, nowMs: number): void {
    this.#nextCheckMs = NEVER;
    for (const [watch, wait] of [...this.#waits]) {
      const boundMs = this.#boundMs(watch, wait, state, nowMs);
      const waitedMs = nowMs - wait.sinceMs;
      if (waitedMs <= boundMs) {
        this.#nextCheckMs = Math.min(this.#nextCheckMs, wait.sinceMs + boundMs);
        continue;
      }
      this.#note(watch, waitedMs, boundMs);
      const [waitedS, boundS] = [waitedMs, boundMs].map((ms) => Math.round(ms / 1000));
      this.#check.report(`${watch.name} has waited ${waitedS} s for devices, and the bound is ${boundS} s`);
      this.#waits.delete(watch);
      this.#begin(watch, state, nowMs);
    }
  }

  /** Until it is brought up, by what has been seen until now; never falls while it waits. */
  #boundMs(watch: TurnWatch, wait: Wait, state: SchedulerState, nowMs: number): number {
    let sumMs = 0;
    let longestMs = 0;
    for (const other of this.#watches.values()) {
      if (other === watch || !watch.meets(other) || !other.isInvolvedSince(wait.sinceMs)) continue;
      const turnMs = other.turnMs(state.scheduling, nowMs);
      sumMs += turnMs;
      longestMs = Math.max(longestMs, turnMs);
    }
    const aheadMs = state.devices.size === 1 ? 0 : Math.max(0, wait.ahead * longestMs - wait.aheadMs);
    return sumMs + aheadMs + longestMs;
  }
}
