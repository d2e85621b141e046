/** What a model's engine does over time, as far as waits depend on it: looked at after each decision that names the model. */
import type { ModelState } from '../../scheduler/state.ts';

export class ModelWatch {
  /** Awake with all slots taken since then; null: it is not. */
  #fullSinceMs: number | null = null;
  #fullMs = 0;
  #drainSinceMs: number | null = null;
  #drainingDevices = 0;
  #drainDeviceMs = 0;
  /** Of its requests that have waited. */
  waits = 0;
  waitedMs = 0;
  starts = 0;

  look({ engine, running, policy }: ModelState, nowMs: number): void {
    const isFull = engine.kind === 'awake' && running.size >= policy.maxConcurrent;
    if (isFull) this.#fullSinceMs ??= nowMs;
    else {
      this.#fullMs = this.fullMs(nowMs);
      this.#fullSinceMs = null;
    }
    if (engine.kind === 'draining') {
      this.#drainSinceMs ??= nowMs;
      this.#drainingDevices = engine.awake.reservation.deviceIds.length;
    } else {
      this.#drainDeviceMs = this.drainDeviceMs(nowMs);
      this.#drainSinceMs = null;
    }
  }

  waited(waitMs: number): void {
    this.waits += 1;
    this.waitedMs += waitMs;
  }

  /** For how long in all it has been awake with all its slots taken. */
  fullMs(nowMs: number): number {
    return this.#fullMs + (this.#fullSinceMs === null ? 0 : nowMs - this.#fullSinceMs);
  }

  /** Device time in all in which it took no new requests and waited for those that ran. */
  drainDeviceMs(nowMs: number): number {
    const open = this.#drainSinceMs === null ? 0 : nowMs - this.#drainSinceMs;
    return this.#drainDeviceMs + open * this.#drainingDevices;
  }
}
