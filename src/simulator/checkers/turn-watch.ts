/** One model as the waiting bound sees it: whether it works or waits, and how long a turn of it may keep others waiting. */
import type { DeviceId } from '../../core/ids.ts';
import { ABANDONED_LOAD_KEEP_MS } from '../../core/limits.ts';
import { drainsWithoutLimit } from '../../scheduler/drain-time.ts';
import { type EngineState, reservationOf } from '../../scheduler/engine-state.ts';
import type { SchedulingPolicy } from '../../scheduler/model-policy.ts';
import type { ModelState } from '../../scheduler/state.ts';
import { CUT_GRACE_MS, switchCostMs } from '../../scheduler/turn.ts';
import { isComing, isLeaving } from './engine-phases.ts';

export class TurnWatch {
  readonly #model: ModelState;
  #kind: EngineState['kind'] = 'cold';
  #sinceMs = 0;
  #deviceIds: readonly DeviceId[] = [];
  /** The longest that were seen. */
  #comeMs = 0;
  #leaveMs = 0;
  #drainMs = 0;
  /** The longest move that brought it up, with what left for it. */
  #broughtMs = 0;
  #wasWanted = false;
  #isInvolved = false;
  #involvedUntilMs = Number.NEGATIVE_INFINITY;
  /** It waits for devices, and nothing but others keeps it from them. */
  waits = false;
  /** Its stop could not be verified. */
  isStuck = false;
  drainsForEver = false;

  constructor(model: ModelState) {
    this.#model = model;
  }

  get name(): string {
    return this.#model.policy.name;
  }

  /** `leftMs`: by device, what moves of those took that left since somebody came up there last. */
  look(nowMs: number, leftMs: Map<DeviceId, number>): void {
    const { engine, queue, wanted, need, neverFits, policy } = this.#model;
    if (engine.kind !== this.#kind) this.#changed(engine, nowMs, leftMs);
    this.drainsForEver = drainsWithoutLimit(this.#model);
    this.#wasWanted ||= wanted;
    const isAway = engine.kind === 'cold' || (engine.kind === 'asleep' && engine.leaving === null);
    const wants = queue.size > 0 || wanted || policy.alwaysOn;
    const isPaused = isAway && engine.notBeforeMs > nowMs;
    const canWait = isAway && !isPaused && need !== null && neverFits === null;
    this.waits = canWait && queue.size > 0 && !queue.isLight;
    const isIn = isAway ? wants : reservationOf(engine) !== null;
    if (this.#isInvolved && !isIn) this.#involvedUntilMs = nowMs;
    this.#isInvolved = isIn;
  }

  #changed(engine: EngineState, nowMs: number, leftMs: Map<DeviceId, number>): void {
    const tookMs = nowMs - this.#sinceMs;
    const before = this.#kind;
    if (isComing(before)) {
      this.#comeMs = Math.max(this.#comeMs, tookMs);
      const gaveWayMs = Math.max(0, ...this.#deviceIds.map((id) => leftMs.get(id) ?? 0));
      this.#broughtMs = Math.max(this.#broughtMs, tookMs + gaveWayMs);
      for (const id of this.#deviceIds) leftMs.delete(id);
    } else if (isLeaving(before)) {
      this.#leaveMs = Math.max(this.#leaveMs, tookMs);
      for (const id of this.#deviceIds) leftMs.set(id, (leftMs.get(id) ?? 0) + tookMs);
    } else if (before === 'draining') this.#drainMs = Math.max(this.#drainMs, tookMs);
    this.#kind = engine.kind;
    this.#sinceMs = nowMs;
    this.#deviceIds = reservationOf(engine)?.deviceIds ?? [];
    if (!isLeaving(engine.kind)) this.isStuck = false;
  }

  meets(other: TurnWatch): boolean {
    const [mine, theirs] = [this.#model.policy.pool, other.#model.policy.pool];
    return mine === null || theirs === null || mine === theirs;
  }

  /** It has worked or waited at that time or since. */
  isInvolvedSince(atMs: number): boolean {
    return this.#isInvolved || this.#involvedUntilMs >= atMs;
  }

  /** Its moves, its quantum or the refill of what brought it in, and its drain: the longest seen, or reckoned with. */
  turnMs(scheduling: SchedulingPolicy, nowMs: number): number {
    const { policy } = this.#model;
    const inMoveMs = nowMs - this.#sinceMs;
    const comeMs = Math.max(this.#comeMs, isComing(this.#kind) ? inMoveMs : 0);
    const leaveMs = Math.max(this.#leaveMs, isLeaving(this.#kind) ? inMoveMs : 0);
    const movesMs = Math.max(comeMs + leaveMs, switchCostMs(this.#model));
    const share = scheduling.switchShare;
    const refillMs = (Math.max(movesMs, this.#broughtMs) * (1 - share)) / share;
    const keptMs = this.#wasWanted ? ABANDONED_LOAD_KEEP_MS : 0;
    // A drain that is over may wait for a neighbour's move, or for host memory.
    const drainMs = Math.max(policy.drainTimeoutMs + CUT_GRACE_MS, this.#drainMs);
    return movesMs + Math.max(refillMs, policy.minResidenceMs, keptMs) + drainMs;
  }
}
