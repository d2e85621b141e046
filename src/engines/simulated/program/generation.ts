/**
 * The engine's scheduler in small: sequences wait, run up to `maxNumSeqs` at once, emit tokens at their speed, and stop.
 * Pausing is vLLM's: what arrives while paused is accepted and waits without a limit; whoever asks must keep them apart.
 */

export type FinishReason = 'stop' | 'length' | 'abort' | 'error';
export type PauseState = 'UNPAUSED' | 'PAUSED_NEW' | 'PAUSED_ALL';
export type PauseMode = 'abort' | 'wait' | 'keep';

export interface SequenceRequest {
  readonly requestId: string;
  readonly promptTokens: number;
  readonly pieces: readonly string[];
  readonly finish: 'stop' | 'length';
  onToken(piece: string, index: number): void;
  onFinish(reason: FinishReason): void;
}

export interface GenerationSettings {
  readonly maxNumSeqs: number;
  readonly tokensPerSecond: number;
  readonly prefillTokensPerSecond: number;
  readonly timeScale: number;
}

export interface GenerationCounts {
  readonly running: number;
  readonly waiting: number;
}

interface Sequence {
  readonly request: SequenceRequest;
  readonly emitFromMs: number;
  position: number;
}

const GARBAGE = ['!', '<unk>', ' zzz', '\u0000'] as const;

export class Generation {
  readonly #settings: GenerationSettings;
  readonly #tokenMs: number;
  readonly #waiting: SequenceRequest[] = [];
  readonly #running = new Set<Sequence>();
  readonly #idleWaiters: (() => void)[] = [];
  readonly #drainWaiters: (() => void)[] = [];
  #pause: PauseState = 'UNPAUSED';
  #garbage = false;
  #timer: NodeJS.Timeout | null = null;
  /** Time that stood still in PAUSED_ALL, so that a resumed sequence does not emit what it missed in one burst. */
  #frozenMs = 0;
  #frozenSinceMs: number | null = null;

  constructor(settings: GenerationSettings) {
    this.#settings = settings;
    const { tokensPerSecond, timeScale } = settings;
    this.#tokenMs = tokensPerSecond > 0 ? (1000 / tokensPerSecond) * timeScale : 0;
  }

  /** Returns the way to abort it; aborting a finished sequence does nothing. */
  submit(request: SequenceRequest): () => void {
    this.#waiting.push(request);
    this.#schedule();
    return () => {
      this.#abortWhere((candidate) => candidate === request, 'abort');
    };
  }

  counts(): GenerationCounts {
    return { running: this.#running.size, waiting: this.#waiting.length };
  }

  pauseState(): PauseState {
    return this.#pause;
  }

  /** Resolves when the pause holds: for `wait` after the running sequences have finished. */
  async pause(mode: PauseMode): Promise<void> {
    if (mode === 'keep') {
      if (this.#pause !== 'PAUSED_ALL') this.#frozenSinceMs = performance.now();
      this.#pause = 'PAUSED_ALL';
      return;
    }
    if (this.#pause === 'UNPAUSED') this.#pause = 'PAUSED_NEW';
    if (mode === 'abort') this.#abortWhere(() => true, 'abort');
    else if (this.#running.size > 0) await new Promise<void>((resolve) => this.#drainWaiters.push(resolve));
  }

  resume(): void {
    if (this.#frozenSinceMs !== null) {
      this.#frozenMs += performance.now() - this.#frozenSinceMs;
      this.#frozenSinceMs = null;
    }
    this.#pause = 'UNPAUSED';
    this.#schedule();
  }

  /** Ends all sequences, or those of the named requests; says how many. */
  abort(requestIds: readonly string[] | null, reason: FinishReason): number {
    return this.#abortWhere(
      (request) => requestIds === null || requestIds.includes(request.requestId),
      reason,
    );
  }

  /** From now on the weights are what lay in memory before: tokens without sense. */
  setGarbage(garbage: boolean): void {
    this.#garbage = garbage;
  }

  /** Resolves when nothing runs or waits. */
  idle(): Promise<void> {
    if (this.#running.size === 0 && this.#waiting.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  #nowMs(): number {
    return (this.#frozenSinceMs ?? performance.now()) - this.#frozenMs;
  }

  #finish(sequence: Sequence, reason: FinishReason): void {
    this.#running.delete(sequence);
    sequence.request.onFinish(reason);
  }

  #schedule(): void {
    const { maxNumSeqs, prefillTokensPerSecond: rate, timeScale } = this.#settings;
    while (this.#pause === 'UNPAUSED' && this.#running.size < maxNumSeqs) {
      const request = this.#waiting.shift();
      if (request === undefined) break;
      const prefillMs = rate > 0 ? (request.promptTokens / rate) * 1000 * timeScale : 0;
      this.#running.add({ request, emitFromMs: this.#nowMs() + prefillMs, position: 0 });
    }
    if (this.#running.size === 0) {
      for (const waiter of this.#drainWaiters.splice(0)) waiter();
      if (this.#waiting.length === 0) for (const waiter of this.#idleWaiters.splice(0)) waiter();
    } else if (this.#timer === null && this.#pause !== 'PAUSED_ALL') {
      this.#timer = setTimeout(() => this.#step(), this.#nextDelayMs());
    }
  }

  #dueAtMs(sequence: Sequence): number {
    return sequence.emitFromMs + sequence.position * this.#tokenMs;
  }

  #nextDelayMs(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const sequence of this.#running) earliest = Math.min(earliest, this.#dueAtMs(sequence));
    return Math.max(0, earliest - this.#nowMs());
  }

  #step(): void {
    this.#timer = null;
    if (this.#pause === 'PAUSED_ALL') return;
    const now = this.#nowMs();
    for (const sequence of [...this.#running]) this.#advance(sequence, now);
    this.#schedule();
  }

  #advance(sequence: Sequence, now: number): void {
    const { request } = sequence;
    while (this.#running.has(sequence) && this.#dueAtMs(sequence) <= now) {
      const index = sequence.position++;
      const own = request.pieces[index] ?? '';
      request.onToken(this.#garbage ? (GARBAGE[index % GARBAGE.length] ?? '!') : own, index);
      // The token's receiver may have ended it.
      if (!this.#running.has(sequence)) return;
      if (sequence.position >= request.pieces.length) this.#finish(sequence, request.finish);
    }
  }

  #abortWhere(matches: (request: SequenceRequest) => boolean, reason: FinishReason): number {
    let ended = 0;
    for (let at = this.#waiting.length - 1; at >= 0; at--) {
      const request = this.#waiting[at];
      if (request === undefined || !matches(request)) continue;
      this.#waiting.splice(at, 1);
      request.onFinish(reason);
      ended++;
    }
    for (const sequence of [...this.#running]) {
      if (!matches(sequence.request)) continue;
      this.#finish(sequence, reason);
      ended++;
    }
    this.#schedule();
    return ended;
  }
}
