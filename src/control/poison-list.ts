/**
 * Requests that were alone in flight when an engine died, by fingerprint: at two deaths the same bytes are refused for a
 * while, so that a prompt which kills engines does not walk from one to the next. Nothing is hashed while the list is empty.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { LONE_DEATHS_MAX, POISON_FINGERPRINTS_MAX, POISON_REFUSAL_MS } from '../core/limits.ts';

interface Suspicion {
  deaths: number;
  untilMs: number;
}

export class PoisonList {
  readonly #clock: Clock;
  readonly #suspicions = new Map<string, Suspicion>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts a death against these bytes of a request for `model`. */
  blame(model: string, body: Uint8Array): void {
    // Freed, because its request was answered after all.
    if (body.length === 0) return;
    const key = fingerprint(model, body);
    const deaths = (this.#fresh(key)?.deaths ?? 0) + 1;
    // Set anew, so that the oldest stands first.
    this.#suspicions.delete(key);
    this.#suspicions.set(key, { deaths, untilMs: this.#clock.nowMs() + POISON_REFUSAL_MS });
    if (this.#suspicions.size <= POISON_FINGERPRINTS_MAX) return;
    const oldest = this.#suspicions.keys().next();
    if (!oldest.done) this.#suspicions.delete(oldest.value);
  }

  /** Deaths counted against these bytes, if they are enough to refuse the request; else 0. */
  refusedDeaths(model: string, body: Uint8Array | null): number {
    if (this.#suspicions.size === 0 || body === null) return 0;
    const deaths = this.#fresh(fingerprint(model, body))?.deaths ?? 0;
    return deaths >= LONE_DEATHS_MAX ? deaths : 0;
  }

  #fresh(key: string): Suspicion | undefined {
    const suspicion = this.#suspicions.get(key);
    if (suspicion === undefined || suspicion.untilMs > this.#clock.nowMs()) return suspicion;
    this.#suspicions.delete(key);
    return undefined;
  }
}

function fingerprint(model: string, body: Uint8Array): string {
  return createHash('sha256').update(model).update('\0').update(body).digest('base64');
}
