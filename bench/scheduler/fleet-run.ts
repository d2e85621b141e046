/**
 * The production scheduler over a fleet in virtual time: open-loop arrivals, engines and timers as times in one agenda. Each
 * call of `decide` is timed; what the world around it costs is not.
 */
import { createPrng, type Prng } from '../../src/core/prng.ts';
import { beginScheduling, decide } from '../../src/scheduler/decide.ts';
import type { Effect } from '../../src/scheduler/effects.ts';
import type { SchedulerEvent } from '../../src/scheduler/events.ts';
import type { SchedulerState } from '../../src/scheduler/state.ts';
import type { SwapPolicy } from '../../src/scheduler/swap-policy.ts';
import { TURNS } from '../../src/scheduler/turns-policy.ts';
import { Agenda } from './agenda.ts';
import { type FleetSize, fleetDevices, fleetSetup, popularity } from './fleet.ts';

const MEAN_SERVICE_MS = 3_000;
/** Share of waiting requests whose client leaves before its patience ends. */
const LEAVE_SHARE = 0.05;
const LEAVE_WITHIN_MS = 600_000;
/** How fast the rate of arrivals follows what waits. */
const RATE_GAIN = 0.05;
const RATE_PERIOD_MS = 1_000;

type Happening =
  | { readonly kind: 'event'; readonly event: SchedulerEvent }
  | { readonly kind: 'end'; readonly requestId: number }
  | { readonly kind: 'timer'; readonly key: string; readonly atMs: number }
  | { readonly kind: 'arrival' }
  | { readonly kind: 'rate' };

/** Called with the time that one decision took. */
export type Timed = (
  event: SchedulerEvent,
  tookMs: number,
  reviews: number,
  effects: readonly Effect[],
) => void;

export class FleetRun {
  readonly state: SchedulerState;
  /** Virtual. */
  nowMs = 0;
  onDecision: Timed = () => {};
  readonly moves = { start: 0, wake: 0, sleep: 0, stop: 0 };
  readonly #size: FleetSize;
  readonly #prng: Prng;
  readonly #drawModel: (chance: number) => number;
  readonly #agenda = new Agenda<Happening>();
  readonly #timers = new Map<string, number>();
  #nextId = 1;
  #perMs: number;
  #endedInPeriod = 0;
  #reviews = 0;

  constructor(size: FleetSize, seed: number) {
    this.#size = size;
    this.#prng = createPrng(seed);
    this.#drawModel = popularity(size.models);
    this.#perMs = size.devices * 0.003;
    const counted: SwapPolicy = {
      ...TURNS,
      rebalance: (d) => {
        this.#reviews += 1;
        TURNS.rebalance(d);
      },
    };
    const { state, effects } = beginScheduling(fleetSetup(size, this.#prng), 0, counted);
    this.state = state;
    this.#carryOut(effects);
  }

  get waiting(): number {
    let running = 0;
    for (const model of this.state.models.values()) running += model.running.size;
    return this.state.requests.size - running;
  }

  /** All that is to wait, and then the devices. */
  fill(): void {
    while (this.state.requests.size < this.#size.waiting) this.#arrive();
    this.#send({ kind: 'devices_changed', devices: fleetDevices(this.#size) });
    this.#agenda.add(0, { kind: 'arrival' });
    this.#agenda.add(RATE_PERIOD_MS, { kind: 'rate' });
  }

  /** Goes on until `isOver` says so, which is asked before each step. */
  run(isOver: () => boolean): void {
    while (!isOver()) {
      const due = this.#agenda.next();
      if (due === null) return;
      this.nowMs = Math.max(this.nowMs, due.atMs);
      this.#happen(due.what);
    }
  }

  #happen(what: Happening): void {
    switch (what.kind) {
      case 'event':
        this.#send(what.event);
        return;
      case 'end':
        if (this.state.requests.get(what.requestId)?.running.has(what.requestId) !== true) return;
        this.#endedInPeriod += 1;
        this.#send({ kind: 'finished', requestId: what.requestId, broken: false });
        return;
      case 'timer':
        if (this.#timers.get(what.key) !== what.atMs) return;
        this.#timers.delete(what.key);
        this.#send({ kind: 'timer', key: what.key });
        return;
      case 'arrival':
        this.#arrive();
        this.#agenda.add(this.nowMs + this.#exponential(1 / this.#perMs), { kind: 'arrival' });
        return;
      case 'rate':
        this.#followLoad();
        this.#agenda.add(this.nowMs + RATE_PERIOD_MS, { kind: 'rate' });
        return;
    }
  }

  /** As many as end, and more or fewer of them as the waiting ones are too few or too many. */
  #followLoad(): void {
    const lacking = (this.#size.waiting - this.waiting) / this.#size.waiting;
    const wanted = (this.#endedInPeriod / RATE_PERIOD_MS) * (1 + Math.max(-0.5, Math.min(0.5, 10 * lacking)));
    this.#perMs = Math.max(0.0005, this.#perMs + RATE_GAIN * (wanted - this.#perMs));
    this.#endedInPeriod = 0;
  }

  #arrive(): void {
    const requestId = this.#nextId;
    this.#nextId += 1;
    const model = `model-${this.#drawModel(this.#prng.next())}`;
    this.#send({ kind: 'arrived', requestId, model, patienceMs: null });
    if (this.#prng.next() >= LEAVE_SHARE) return;
    const leavesMs = this.nowMs + this.#prng.integer(LEAVE_WITHIN_MS);
    this.#agenda.add(leavesMs, { kind: 'event', event: { kind: 'left', requestId } });
  }

  #send(event: SchedulerEvent): void {
    this.#reviews = 0;
    const beganMs = performance.now();
    const effects = decide(this.state, event, this.nowMs);
    const tookMs = performance.now() - beganMs;
    this.onDecision(event, tookMs, this.#reviews, effects);
    this.#carryOut(effects);
  }

  #carryOut(effects: readonly Effect[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'dispatch':
          this.#later(this.#exponential(MEAN_SERVICE_MS), { kind: 'end', requestId: effect.requestId });
          break;
        case 'start': {
          const { model, launchId } = effect;
          const event = { kind: 'ready', model, launchId, contextLength: null } as const;
          this.#move('start', 30_000 + this.#prng.integer(30_000), event);
          break;
        }
        case 'stop': {
          const { model, launchId } = effect;
          const event = { kind: 'stopped', model, launchId, verified: true, detail: '' } as const;
          this.#move('stop', 1_000 + this.#prng.integer(3_000), event);
          break;
        }
        case 'sleep': {
          const { model, launchId } = effect;
          const answer = { ok: true, residueMib: null, hostMib: null, detail: '' } as const;
          const event = { kind: 'slept', model, launchId, ...answer } as const;
          this.#move('sleep', 800 + this.#prng.integer(2_000), event);
          break;
        }
        case 'wake': {
          const { model, launchId } = effect;
          const event = { kind: 'woke', model, launchId, ok: true, detail: '' } as const;
          this.#move('wake', 1_500 + this.#prng.integer(3_000), event);
          break;
        }
        case 'cut':
          this.#later(0, {
            kind: 'event',
            event: { kind: 'finished', requestId: effect.requestId, broken: false },
          });
          break;
        case 'set_timer': {
          const { key, atMs } = effect;
          this.#timers.set(key, atMs);
          this.#agenda.add(atMs, { kind: 'timer', key, atMs });
          break;
        }
        default:
          break;
      }
    }
  }

  #move(kind: keyof FleetRun['moves'], takesMs: number, event: SchedulerEvent): void {
    this.moves[kind] += 1;
    this.#later(takesMs, { kind: 'event', event });
  }

  #later(inMs: number, what: Happening): void {
    this.#agenda.add(this.nowMs + inMs, what);
  }

  #exponential(meanMs: number): number {
    return -meanMs * Math.log(1 - this.#prng.next());
  }
}
