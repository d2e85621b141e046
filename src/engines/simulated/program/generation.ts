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

export interface Generation {
  /** Returns the way to abort it; aborting a finished sequence does nothing. */
  submit(request: SequenceRequest): () => void;
  counts(): GenerationCounts;
  pauseState(): PauseState;
  /** Resolves when the pause holds: for `wait` after the running sequences have finished. */
  pause(mode: PauseMode): Promise<void>;
  resume(): void;
  /** Ends all sequences, or those of the named requests; says how many. */
  abort(requestIds: readonly string[] | null, reason: FinishReason): number;
  /** From now on the weights are what lay in memory before: tokens without sense. */
  setGarbage(garbage: boolean): void;
  /** Resolves when nothing runs or waits. */
  idle(): Promise<void>;
}

interface Sequence {
  readonly request: SequenceRequest;
  readonly emitFromMs: number;
  position: number;
}

const GARBAGE = ['!', '<unk>', ' zzz', '\u0000'] as const;

export function createGeneration(settings: GenerationSettings): Generation {
  const waiting: SequenceRequest[] = [];
  const running = new Set<Sequence>();
  const idleWaiters: (() => void)[] = [];
  const drainWaiters: (() => void)[] = [];
  const tokenMs = settings.tokensPerSecond > 0 ? (1000 / settings.tokensPerSecond) * settings.timeScale : 0;
  let pause: PauseState = 'UNPAUSED';
  let garbage = false;
  let timer: NodeJS.Timeout | null = null;
  /** Time that stood still in PAUSED_ALL, so that a resumed sequence does not emit what it missed in one burst. */
  let frozenMs = 0;
  let frozenSinceMs: number | null = null;
  const nowMs = (): number => (frozenSinceMs ?? performance.now()) - frozenMs;

  const finish = (sequence: Sequence, reason: FinishReason): void => {
    running.delete(sequence);
    sequence.request.onFinish(reason);
  };

  const settle = (): void => {
    if (running.size === 0) for (const waiter of drainWaiters.splice(0)) waiter();
    if (running.size === 0 && waiting.length === 0) for (const waiter of idleWaiters.splice(0)) waiter();
  };

  const schedule = (): void => {
    while (pause === 'UNPAUSED' && running.size < settings.maxNumSeqs) {
      const request = waiting.shift();
      if (request === undefined) break;
      const rate = settings.prefillTokensPerSecond;
      const prefillMs = rate > 0 ? (request.promptTokens / rate) * 1000 * settings.timeScale : 0;
      running.add({ request, emitFromMs: nowMs() + prefillMs, position: 0 });
    }
    settle();
    if (timer === null && running.size > 0 && pause !== 'PAUSED_ALL') {
      timer = setTimeout(step, nextDelayMs());
    }
  };

  const dueAtMs = (sequence: Sequence): number => sequence.emitFromMs + sequence.position * tokenMs;

  const nextDelayMs = (): number => {
    let earliest = Number.POSITIVE_INFINITY;
    for (const sequence of running) earliest = Math.min(earliest, dueAtMs(sequence));
    return Math.max(0, earliest - nowMs());
  };

  const step = (): void => {
    timer = null;
    if (pause === 'PAUSED_ALL') return;
    const now = nowMs();
    for (const sequence of [...running]) advance(sequence, now);
    schedule();
  };

  const advance = (sequence: Sequence, now: number): void => {
    const { request } = sequence;
    while (running.has(sequence) && dueAtMs(sequence) <= now) {
      const index = sequence.position;
      const own = request.pieces[index];
      if (own === undefined) {
        finish(sequence, request.finish);
        return;
      }
      sequence.position++;
      request.onToken(garbage ? (GARBAGE[index % GARBAGE.length] ?? '!') : own, index);
      if (!running.has(sequence)) return;
      if (sequence.position >= request.pieces.length) finish(sequence, request.finish);
    }
  };

  const abortWhere = (matches: (request: SequenceRequest) => boolean, reason: FinishReason): number => {
    let ended = 0;
    for (let at = waiting.length - 1; at >= 0; at--) {
      const request = waiting[at];
      if (request === undefined || !matches(request)) continue;
      waiting.splice(at, 1);
      request.onFinish(reason);
      ended++;
    }
    for (const sequence of [...running]) {
      if (!matches(sequence.request)) continue;
      finish(sequence, reason);
      ended++;
    }
    schedule();
    return ended;
  };

  return {
    submit(request) {
      waiting.push(request);
      schedule();
      return () => {
        abortWhere((candidate) => candidate === request, 'abort');
      };
    },
    counts: () => ({ running: running.size, waiting: waiting.length }),
    pauseState: () => pause,
    async pause(mode) {
      if (mode === 'keep') {
        if (pause !== 'PAUSED_ALL') frozenSinceMs = performance.now();
        pause = 'PAUSED_ALL';
        return;
      }
      if (pause === 'UNPAUSED') pause = 'PAUSED_NEW';
      if (mode === 'abort') abortWhere(() => true, 'abort');
      else if (running.size > 0) await new Promise<void>((resolve) => drainWaiters.push(resolve));
    },
    resume() {
      if (frozenSinceMs !== null) {
        frozenMs += performance.now() - frozenSinceMs;
        frozenSinceMs = null;
      }
      pause = 'UNPAUSED';
      schedule();
    },
    abort: (requestIds, reason) =>
      abortWhere((request) => requestIds === null || requestIds.includes(request.requestId), reason),
    setGarbage: (value) => {
      garbage = value;
    },
    idle: () =>
      running.size === 0 && waiting.length === 0
        ? Promise.resolve()
        : new Promise<void>((resolve) => idleWaiters.push(resolve)),
  };
}
