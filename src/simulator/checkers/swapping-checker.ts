/**
 * The bound on swapping (scheduler/design.md): in any window T, moves that take a device from a model in use take at most `e T`
 * and `1 - e` of one move of its time. Measured by what engines do, not by the scheduler's balances: by how much the moves
 * of the worst window that ends now exceed their share is one number a device, which rises by 1 - e while a move
 * takes it, and falls by e else, down to 0.
 */
import type { DeviceId } from '../../core/ids.ts';
import type { Effect } from '../../scheduler/effects.ts';
import { type AwakeState, type EngineState, reservationOf } from '../../scheduler/engine-state.ts';
import type { SchedulerEvent } from '../../scheduler/events.ts';
import type { ModelState, SchedulerState } from '../../scheduler/state.ts';
import { inUseUntilMs } from '../../scheduler/turn.ts';
import { TURNS } from '../../scheduler/turns-policy.ts';
import type { Checker, Report } from './checker.ts';
import { isComing, isLeaving } from './engine-phases.ts';

/** Sums of fractions. */
const ROUNDING_MS = 1;
/** How the reason of a stop or a sleep for another model's sake reads. */
const FOR_ANOTHER = ' waits for ';

interface Seen {
  kind: EngineState['kind'];
  awake: AwakeState | null;
  /** When it was asked to leave, it was in use. */
  wasInUse: boolean;
  /** Devices whose time its present move takes. */
  taken: readonly DeviceId[];
}

/** Of one device. */
interface Account {
  atMs: number;
  /** Moves that take its time at present. */
  open: number;
  /** Room was taken from a model in use: the next start there is the other half of that move. */
  owed: boolean;
  excessMs: number;
  moveMs: number;
  longestMs: number;
  isReported: boolean;
}

export class SwappingChecker implements Checker {
  readonly #report: Report;
  readonly #everyPolicy: boolean;
  readonly #seen = new Map<ModelState, Seen>();
  readonly #accounts = new Map<DeviceId, Account>();
  #version = -1;
  #share = 0;
  /** The worst window of all, in longest moves of its device; more than `1 - e` breaks the bound. */
  worstMoves = 0;
  /** Assumptions of the proof that did not hold, and how often. */
  readonly suspended = new Map<string, number>();

  /** `everyPolicy`: also of those that do not promise it. */
  constructor(report: Report, everyPolicy = false) {
    this.#report = report;
    this.#everyPolicy = everyPolicy;
  }

  began(): void {
    this.#seen.clear();
    this.#accounts.clear();
    this.#version = -1;
  }

  decided(event: SchedulerEvent, effects: readonly Effect[], state: SchedulerState, nowMs: number): void {
    if (!this.#everyPolicy && state.policy.name !== TURNS.name) return;
    if (event.kind === 'stopped' && !event.verified)
      this.#unverified(state.launches.get(event.launchId), nowMs);
    const { version } = state.engines;
    if (version === this.#version) return;
    this.#version = version;
    // While the share is changed by a reload, the larger one counts.
    this.#share = Math.max(this.#share, state.scheduling.switchShare);
    const asked = new Set<string>();
    for (const effect of effects)
      if ((effect.kind === 'stop' || effect.kind === 'sleep') && effect.reason.includes(FOR_ANOTHER))
        asked.add(effect.model);
    // Who leaves before who comes: a start may follow in the same decision.
    const models = new Set([...this.#seen.keys(), ...state.engines.holders]);
    for (const model of models) this.#leaves(model, asked.has(model.policy.name), state, nowMs);
    for (const model of models) this.#comes(model, nowMs);
  }

  #unverified(model: ModelState | undefined, nowMs: number): void {
    const seen = model === undefined ? undefined : this.#seen.get(model);
    if (seen === undefined) return;
    this.#close(seen, nowMs);
    const assumption = 'a stop could not be verified';
    this.suspended.set(assumption, (this.suspended.get(assumption) ?? 0) + 1);
  }

  #leaves(model: ModelState, asked: boolean, { scheduling }: SchedulerState, nowMs: number): void {
    const seen = this.#of(model);
    const { engine } = model;
    if (
      seen.kind === 'awake' &&
      seen.awake !== null &&
      (engine.kind === 'draining' || isLeaving(engine.kind))
    )
      seen.wasInUse = nowMs < inUseUntilMs(model, seen.awake, scheduling);
    if (isLeaving(seen.kind) && !isLeaving(engine.kind)) this.#close(seen, nowMs);
    if (isLeaving(seen.kind) || !isLeaving(engine.kind) || !asked || !seen.wasInUse) return;
    const deviceIds = reservationOf(engine)?.deviceIds ?? [];
    for (const id of deviceIds) {
      const account = this.#settled(id, nowMs);
      // Several who leave one device for the same newcomer are one move.
      if (account.open === 0 && (!account.owed || account.excessMs === 0)) account.moveMs = 0;
      account.owed = true;
    }
    this.#open(seen, deviceIds);
  }

  #comes(model: ModelState, nowMs: number): void {
    const seen = this.#of(model);
    const { engine } = model;
    if (isComing(seen.kind) && !isComing(engine.kind) && engine.kind !== 'stopping') {
      const { taken } = seen;
      this.#close(seen, nowMs);
      // It found no room: the next one is the other half of the move.
      if (engine.kind !== 'awake') for (const id of taken) this.#settled(id, nowMs).owed = true;
    }
    if (!isComing(seen.kind) && isComing(engine.kind)) {
      const deviceIds = (reservationOf(engine)?.deviceIds ?? []).filter((id) => this.#accounts.get(id)?.owed);
      for (const id of deviceIds) this.#settled(id, nowMs).owed = false;
      this.#open(seen, deviceIds);
    }
    seen.kind = engine.kind;
    seen.awake = engine.kind === 'awake' ? engine : engine.kind === 'draining' ? engine.awake : null;
    if (reservationOf(engine) === null) this.#seen.delete(model);
  }

  #open(seen: Seen, deviceIds: readonly DeviceId[]): void {
    seen.taken = deviceIds;
    for (const id of deviceIds) {
      const account = this.#accounts.get(id);
      if (account !== undefined) account.open += 1;
    }
  }

  #close(seen: Seen, nowMs: number): void {
    for (const id of seen.taken) this.#settled(id, nowMs).open -= 1;
    seen.taken = [];
  }

  #settled(id: DeviceId, nowMs: number): Account {
    const known = this.#accounts.get(id);
    if (known === undefined) {
      const counts = { open: 0, owed: false, excessMs: 0, moveMs: 0, longestMs: 0 };
      const fresh: Account = { atMs: nowMs, ...counts, isReported: false };
      this.#accounts.set(id, fresh);
      return fresh;
    }
    const passedMs = nowMs - known.atMs;
    known.atMs = nowMs;
    if (known.open === 0) {
      known.excessMs = Math.max(0, known.excessMs - this.#share * passedMs);
      if (known.excessMs === 0) known.isReported = false;
      return known;
    }
    known.excessMs += (1 - this.#share) * passedMs;
    known.moveMs += passedMs;
    known.longestMs = Math.max(known.longestMs, known.moveMs);
    this.#check(id, known);
    return known;
  }

  #check(id: DeviceId, account: Account): void {
    const { excessMs, longestMs } = account;
    if (longestMs > 0) this.worstMoves = Math.max(this.worstMoves, excessMs / longestMs);
    if (account.isReported || excessMs <= (1 - this.#share) * longestMs + ROUNDING_MS) return;
    account.isReported = true;
    const [excessS, longestS] = [excessMs, longestMs].map((ms) => (ms / 1000).toFixed(1));
    this.#report(
      `moves that took ${id} from models in use exceed ${this.#share} of its time by ${excessS} s, and the longest took ${longestS} s`,
    );
  }

  #of(model: ModelState): Seen {
    const known = this.#seen.get(model);
    if (known !== undefined) return known;
    const fresh: Seen = { kind: 'cold', awake: null, wasInUse: false, taken: [] };
    this.#seen.set(model, fresh);
    return fresh;
  }
}
