/** When is an engine ready, and does one live whose connections broke: probes, each with a time limit. */
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { CancelTimer, Clock } from '../core/clock.ts';
import type { Engine, EngineHttp, ProbeResult } from '../engines/engine.ts';
import type { Endpoint } from '../proxy/endpoint-types.ts';

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
/** A mute engine has to give one short answer within this time; what it has taken on may come before. */
const WORK_CHECK_TIMEOUT_MS = 60_000;

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

/**
 * Asks an engine whose connections broke or that is mute. Null: it is healthy; else why it counts as dead. Servers say that
 * they are healthy while what computes behind them hangs, so a mute one has to work, too.
 */
export async function suspectFault(
  ports: ProbePorts,
  hasExited: () => boolean,
  endpoint: Pick<Endpoint, 'isMute'> | null,
): Promise<string | null> {
  const { clock, engine, http, model, signal } = ports;
  let detail = 'it has no address';
  for (let attempt = 0; attempt < SUSPECT_PROBES; attempt += 1) {
    const result = await engine.probe(http, model, SUSPECT_PROBE_TIMEOUT_MS, signal);
    if (result.kind === 'ready') return endpoint?.isMute === true ? workFault(ports, endpoint) : null;
    detail = result.detail;
    if (hasExited()) break;
    await new Promise<void>((resolve) => clock.setTimer(clock.nowMs() + SUSPECT_PAUSE_MS, resolve));
  }
  return detail;
}

/** Null: it works; an answer to anybody shows it. */
async function workFault(
  { engine, http, model, signal }: ProbePorts,
  endpoint: Pick<Endpoint, 'isMute'>,
): Promise<string | null> {
  const worked = await engine.warmUp(http, model, { timeoutMs: WORK_CHECK_TIMEOUT_MS, signal });
  return worked.kind === 'done' || !endpoint.isMute ? null : `it hangs: ${worked.detail}`;
}
