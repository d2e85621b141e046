/**
 * Measures a simulated run by what its engines do, apart from the scheduler's own books: device time of moves that took
 * a device from a model in use, device time that stood idle behind a reservation, and how long models waited.
 */
import type { Effect } from '../../src/scheduler/effects.ts';
import { type AwakeState, type EngineState, reservationOf } from '../../src/scheduler/engine-state.ts';
import type { ModelState } from '../../src/scheduler/state.ts';
import { inUseUntilMs } from '../../src/scheduler/turn.ts';
import type { SchedulerWorld } from './scheduler-world.ts';

interface Interval {
  readonly fromMs: number;
  toMs: number;
  /** Of one move: leaving and coming up share it. */
  readonly move: number;
}

interface Seen {
  kind: EngineState['kind'];
  awake: AwakeState | null;
  /** When it was asked to leave, it was in use. */
  wasInUse: boolean;
  /** What it pays for at present. */
  open: Interval[];
  /** Since when its queue waits without one of it being dispatched; null: nobody waits. */
  waitsSinceMs: number | null;
}

/** On one device: how far the paid moves of some window exceed the share of it, and the longest single move. */
export interface MoveExcess {
  readonly excessMs: number;
  readonly longestMoveMs: number;
  readonly moves: number;
}

export class SchedulerMeter {
  readonly #world: SchedulerWorld;
  readonly #seen = new Map<string, Seen>();
  readonly #intervals = new Map<string, Interval[]>();
  /** Move whose second half the next start on the device is. */
  readonly #owed = new Map<string, number>();
  #moves = 0;
  #lastMs: number;
  #idleDevices: readonly string[] = [];
  readonly idleMs = new Map<string, number>();
  /** By model: the longest time for which requests waited and none was dispatched. */
  readonly longestWaitMs = new Map<string, number>();

  constructor(world: SchedulerWorld) {
    this.#world = world;
    this.#lastMs = world.clock.nowMs();
    world.afterDecision = (effects) => this.#observe(effects);
    this.#observe([]);
  }

  #observe(effects: readonly Effect[]): void {
    const nowMs = this.#world.clock.nowMs();
    for (const id of this.#idleDevices)
      this.idleMs.set(id, (this.idleMs.get(id) ?? 0) + nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    const dispatched = new Set<string>();
    for (const effect of effects) if (effect.kind === 'dispatch') dispatched.add(effect.model);
    const asked = new Set<string>();
    for (const effect of effects)
      if (
        (effect.kind === 'stop' || effect.kind === 'sleep') &&
        effect.reason.includes('waits for its devices')
      )
        asked.add(effect.model);
    // Who leaves before who comes: a start may follow in the same decision.
    const models = [...this.#world.state.models.values()];
    for (const model of models) this.#observeLeaving(model, asked.has(model.policy.name), nowMs);
    for (const model of models) this.#observeComing(model, nowMs);
    for (const model of models) this.#observeQueue(model, dispatched.has(model.policy.name), nowMs);
    this.#idleDevices = this.#findIdle();
  }

  #observeLeaving(model: ModelState, asked: boolean, nowMs: number): void {
    const seen = this.#of(model);
    const { engine } = model;
    const wasAwake = seen.kind === 'awake';
    if (wasAwake && seen.awake !== null && (engine.kind === 'draining' || isLeaving(engine.kind)))
      seen.wasInUse = nowMs < inUseUntilMs(model, seen.awake, this.#world.state.scheduling);
    if (isLeaving(seen.kind) && !isLeaving(engine.kind)) this.#close(seen, nowMs);
    if (!isLeaving(seen.kind) && isLeaving(engine.kind) && asked && seen.wasInUse) {
      this.#moves += 1;
      for (const id of reservationOf(engine)?.deviceIds ?? []) {
        // Several who leave one device for the same newcomer are one move.
        const move = this.#owed.get(id) ?? this.#moves;
        this.#open(seen, id, move, nowMs);
        this.#owed.set(id, move);
      }
    }
  }

  #observeComing(model: ModelState, nowMs: number): void {
    const seen = this.#of(model);
    const { engine } = model;
    if (isComing(seen.kind) && !isComing(engine.kind) && engine.kind !== 'stopping') this.#close(seen, nowMs);
    if (!isComing(seen.kind) && isComing(engine.kind)) {
      for (const id of reservationOf(engine)?.deviceIds ?? []) {
        const move = this.#owed.get(id);
        if (move !== undefined) this.#open(seen, id, move, nowMs);
        this.#owed.delete(id);
      }
    }
    seen.kind = engine.kind;
    seen.awake = engine.kind === 'awake' ? engine : engine.kind === 'draining' ? engine.awake : null;
  }

  #observeQueue(model: ModelState, dispatched: boolean, nowMs: number): void {
    const seen = this.#of(model);
    const waitedMs = seen.waitsSinceMs === null ? 0 : nowMs - seen.waitsSinceMs;
    const { name } = model.policy;
    if (waitedMs > (this.longestWaitMs.get(name) ?? 0)) this.longestWaitMs.set(name, waitedMs);
    if (model.queue.size === 0) seen.waitsSinceMs = null;
    else if (seen.waitsSinceMs === null || dispatched) seen.waitsSinceMs = nowMs;
  }

  /** Held, empty of work and of moves, while somebody else than the holder waits for a device. */
  #findIdle(): string[] {
    const { state } = this.#world;
    const busy = new Set<string>();
    for (const model of state.models.values()) {
      const { engine } = model;
      const works = isComing(engine.kind) || isLeaving(engine.kind) || model.running.size > 0;
      if (works) for (const id of reservationOf(engine)?.deviceIds ?? []) busy.add(id);
    }
    const idle: string[] = [];
    for (const plan of state.plans.values()) {
      const othersWait = [...state.contenders].some((model) => model.policy.name !== plan.model);
      if (othersWait) idle.push(...plan.deviceIds.filter((id) => !busy.has(id)));
    }
    return idle;
  }

  #of(model: ModelState): Seen {
    const { name } = model.policy;
    const known = this.#seen.get(name);
    if (known !== undefined) return known;
    const fresh: Seen = { kind: 'cold', awake: null, wasInUse: false, open: [], waitsSinceMs: null };
    this.#seen.set(name, fresh);
    return fresh;
  }

  #open(seen: Seen, id: string, move: number, nowMs: number): void {
    const interval = { fromMs: nowMs, toMs: Number.POSITIVE_INFINITY, move };
    seen.open.push(interval);
    const all = this.#intervals.get(id) ?? [];
    all.push(interval);
    this.#intervals.set(id, all);
  }

  #close(seen: Seen, nowMs: number): void {
    for (const interval of seen.open) interval.toMs = nowMs;
    seen.open = [];
  }

  /** Of the window on which the moves exceed `share` of its length the most. */
  moveExcess(share: number): Map<string, MoveExcess> {
    return new Map([...this.#intervals].map(([id, all]) => [id, excess(joined(all, this.#lastMs), share)]));
  }

  idleShare(durationMs: number): number {
    const sumMs = [...this.idleMs.values()].reduce((sum, ms) => sum + ms, 0);
    return sumMs / (durationMs * this.#world.state.devices.size);
  }
}

/** Overlapping intervals count once: it is the device's time. */
function joined(all: readonly Interval[], endMs: number): Interval[] {
  const sorted = all
    .map((one) => ({ ...one, toMs: Math.min(one.toMs, endMs) }))
    .sort((a, b) => a.fromMs - b.fromMs);
  const result: Interval[] = [];
  for (const next of sorted) {
    const last = result.at(-1);
    const fromMs = Math.max(next.fromMs, last?.toMs ?? 0);
    if (next.toMs > fromMs) result.push({ ...next, fromMs });
  }
  return result;
}

function excess(intervals: readonly Interval[], share: number): MoveExcess {
  let excessMs = 0;
  const byMove = new Map<number, number>();
  for (const [index, first] of intervals.entries()) {
    byMove.set(first.move, (byMove.get(first.move) ?? 0) + first.toMs - first.fromMs);
    let sumMs = 0;
    for (const last of intervals.slice(index)) {
      sumMs += last.toMs - last.fromMs;
      excessMs = Math.max(excessMs, sumMs - share * (last.toMs - first.fromMs));
    }
  }
  return { excessMs, longestMoveMs: Math.max(0, ...byMove.values()), moves: byMove.size };
}

function isLeaving(kind: EngineState['kind']): boolean {
  return kind === 'stopping' || kind === 'falling_asleep';
}

function isComing(kind: EngineState['kind']): boolean {
  return kind === 'starting' || kind === 'waking';
}
