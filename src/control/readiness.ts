/** When is an engine ready, and does one live whose connections broke: probes, each with a time limit. */
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { CancelTimer, Clock } from '../core/clock.ts';
import type { Engine, EngineHttp, ProbeResult } from '../engines/engine.ts';

/** First pause between probes; it grows with the time that the start has taken. */
const PROBE_PAUSE_MIN_MS = 50;
const PROBE_PAUSE_MAX_MS = 500;
const PROBE_PAUSE_SHARE = 0.03;
export const PROBE_TIMEOUT_MS = 2_000;
/** A suspect engine is asked this often before it counts as dead. */
const SUSPECT_PROBES = 3;
/** A server under load may be slow to answer; one that is dead refuses at once. */
const SUSPECT_PROBE_TIMEOUT_MS = 10_000;
const SUSPECT_PAUSE_MS = 100;

export interface ProbePorts {
  readonly clock: Clock;
  readonly engine: Engine;
  readonly http: EngineHttp;
  readonly model: ResolvedModel;
  /** Aborts when the launch ends; nothing is told afterwards. */
  readonly signal: AbortSignal;
}

/** Probes a starting engine until it is ready, quickly at first. */
export class ReadinessProbe {
  readonly #ports: ProbePorts;
  readonly #startedMs: number;
  readonly #told: (result: Exclude<ProbeResult, { kind: 'not_ready' }>) => void;
  #cancel: CancelTimer = () => {};
  #probing = false;
  #ended = false;
  /** Its output said that it serves: the next probes come quickly. */
  #saysServing = false;

  /** `told` once, unless the signal aborts before. */
  constructor(
    ports: ProbePorts,
    startedMs: number,
    told: (result: Exclude<ProbeResult, { kind: 'not_ready' }>) => void,
  ) {
    this.#ports = ports;
    this.#startedMs = startedMs;
    this.#told = told;
    ports.signal.addEventListener('abort', () => this.#cancel(), { once: true });
    this.#soon();
  }

  /** Its own output says that it serves. */
  saysServing(): void {
    this.#saysServing = true;
    this.#cancel();
    void this.#probe();
  }

  #soon(): void {
    const { clock, signal } = this.#ports;
    if (signal.aborted || this.#ended) return;
    const elapsedMs = clock.nowMs() - this.#startedMs;
    const growingMs = Math.min(
      PROBE_PAUSE_MAX_MS,
      Math.max(PROBE_PAUSE_MIN_MS, elapsedMs * PROBE_PAUSE_SHARE),
    );
    const pauseMs = this.#saysServing ? PROBE_PAUSE_MIN_MS : growingMs;
    this.#cancel = clock.setTimer(clock.nowMs() + pauseMs, () => void this.#probe());
  }

  async #probe(): Promise<void> {
    const { engine, http, model, signal } = this.#ports;
    if (this.#probing || this.#ended || signal.aborted) return;
    this.#probing = true;
    const result = await engine.probe(http, model, PROBE_TIMEOUT_MS, signal);
    this.#probing = false;
    if (signal.aborted) return;
    if (result.kind === 'not_ready') {
      this.#soon();
      return;
    }
    this.#ended = true;
    this.#told(result);
  }
}

/** Asks an engine whose connections broke. Null: it is healthy; else why it counts as dead. */
export async function suspectFault(ports: ProbePorts, hasExited: () => boolean): Promise<string | null> {
  const { clock, engine, http, model, signal } = ports;
  let detail = 'it has no address';
  for (let attempt = 0; attempt < SUSPECT_PROBES; attempt += 1) {
    const result = await engine.probe(http, model, SUSPECT_PROBE_TIMEOUT_MS, signal);
    if (result.kind === 'ready') return null;
    detail = result.detail;
    if (hasExited()) break;
    await new Promise<void>((resolve) => clock.setTimer(clock.nowMs() + SUSPECT_PAUSE_MS, resolve));
  }
  return detail;
}
