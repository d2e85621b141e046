/**
 * The last decisions about each model with their reasons, for status and `explain`. What comes in floods (dispatches, refusals)
 * is told as one entry for as long as it goes on, so that it does not push out moves.
 */
import type { Clock } from '../core/clock.ts';
import type { ModelName } from '../core/ids.ts';
import type { Effect } from '../scheduler/effects.ts';
import type { SchedulerEvent } from '../scheduler/events.ts';

const REMEMBERED = 10;

export interface RememberedDecision {
  readonly kind: Exclude<Effect['kind'], 'set_timer'>;
  /** Of the first and of the last, by the wall clock. */
  readonly fromWallMs: number;
  untilWallMs: number;
  count: number;
  /** Of the last. */
  reason: string;
}

export class DecisionHistory {
  readonly #clock: Clock;
  readonly #byModel = new Map<ModelName, RememberedDecision[]>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** For every event with what it led to: twice a request, so it does little. */
  observed(event: SchedulerEvent, effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'set_timer') continue;
      const model = modelOf(event, effect);
      if (model !== null) this.#add(model, effect.kind, effect.reason);
    }
  }

  /** The latest first. */
  of(model: ModelName): readonly RememberedDecision[] {
    return (this.#byModel.get(model) ?? []).toReversed();
  }

  #add(model: ModelName, kind: RememberedDecision['kind'], reason: string): void {
    const nowMs = this.#clock.wallMs();
    const known = this.#byModel.get(model);
    const last = known?.at(-1);
    if (last?.kind === kind && isCounted(kind)) {
      last.count += 1;
      last.untilWallMs = nowMs;
      last.reason = reason;
      return;
    }
    const list = known ?? [];
    if (known === undefined) this.#byModel.set(model, list);
    list.push({ kind, fromWallMs: nowMs, untilWallMs: nowMs, count: 1, reason });
    if (list.length > REMEMBERED) list.shift();
  }
}

/** Decisions about single requests. */
function isCounted(kind: RememberedDecision['kind']): boolean {
  return kind === 'dispatch' || kind === 'refuse' || kind === 'cut';
}

/** Refusals and cuts name the request and, in their text, the model. */
function modelOf(event: SchedulerEvent, effect: Exclude<Effect, { kind: 'set_timer' }>): ModelName | null {
  if (effect.kind !== 'refuse' && effect.kind !== 'cut') return effect.model;
  // Of a name that nobody configured nothing is kept.
  if (effect.refusal.code === 'model_not_found') return null;
  const named = (effect.refusal.parameters as Readonly<Record<string, unknown>>)['model'];
  if (typeof named === 'string') return named;
  return event.kind === 'arrived' ? event.model : null;
}
