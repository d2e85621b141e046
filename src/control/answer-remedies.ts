/** Refusals by engines that the configuration can mend: told in the log from time to time, and kept for the status. */
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { Clock } from '../core/clock.ts';
import type { ModelName } from '../core/ids.ts';
import type { Engine } from '../engines/engine.ts';
import type { FleetPorts } from './engine-fleet.ts';

/** A client that asks again and again fills no log. */
const TELL_AGAIN_MS = 10 * 60_000;

export class AnswerRemedies {
  readonly #clock: Clock;
  readonly #log: FleetPorts['log'];
  readonly #told = new Map<ModelName, { readonly text: string; readonly atMs: number }>();

  constructor(clock: Clock, log: FleetPorts['log']) {
    this.#clock = clock;
    this.#log = log;
  }

  /** The engine refused a request with 400. */
  answered(model: ResolvedModel, engine: Engine, bodyStart: Uint8Array): void {
    const text = engine.remedyOf(400, Buffer.from(bodyStart).toString('utf8'));
    if (text === null) return;
    const known = this.#told.get(model.name);
    const nowMs = this.#clock.nowMs();
    if (known?.text === text && nowMs - known.atMs < TELL_AGAIN_MS) return;
    this.#told.set(model.name, { text, atMs: nowMs });
    this.#log('warn', `${model.name}: ${text}`, { model: model.name });
  }

  /** The latest remedy; null: none was needed. */
  of(model: ModelName): string | null {
    return this.#told.get(model)?.text ?? null;
  }
}
