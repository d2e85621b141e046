/**
 * Readings of NVIDIA cards several times a second from one long-lived `nvidia-smi … -lms`, while memory moves.
 *
 *  S1. It ends only by `close`: a tool that dies or falls silent is started anew, after a pause that doubles.
 *  S2. A reading is a whole round over the cards; a card that is missing in a round is missing in the reading.
 */
import type { CancelTimer, Clock } from '../core/clock.ts';
import type { DeviceId } from '../core/ids.ts';
import type { DeviceCondition } from './device.ts';
import { type NvidiaGpu, parseNvidiaGpus } from './nvidia-parse.ts';
import type { StreamSink } from './raw-device.ts';
import type { StreamTool } from './tool-stream.ts';

export const STREAM_PERIOD_MS = 250;
/** The first round may take as long as a single call: without persistence mode the driver loads first. */
const FIRST_ROUND_LIMIT_MS = 15_000;
/** A tool that hangs says nothing: no whole round within this, and it is killed. */
const SILENCE_LIMIT_MS = 5_000;
const RESTART_PAUSE_MS = 1_000;
const RESTART_PAUSE_MS_MAX = 30_000;
/** A tool that has run this long works: the pause begins anew, and its trouble is over. */
const STABLE_MS = 10_000;

export interface NvidiaStreamOptions {
  readonly argv: readonly string[];
  readonly open: StreamTool;
  readonly clock: Clock;
  /** Cards that a round has, as far as is known. */
  readonly gpuCount: () => number;
  readonly usesOf: (gpus: readonly NvidiaGpu[]) => ReadonlyMap<DeviceId, number | null>;
  readonly sink: StreamSink;
}

/** Returns its `close`. */
export function openNvidiaStream(options: NvidiaStreamOptions): () => void {
  const stream = new NvidiaStream(options);
  stream.start();
  return () => stream.close();
}

class NvidiaStream {
  readonly #options: NvidiaStreamOptions;
  #round: NvidiaGpu[] = [];
  #kill: () => void = () => {};
  #cancelTimer: CancelTimer = () => {};
  #pauseMs = RESTART_PAUSE_MS;
  #startedMs = 0;
  #troubled = false;
  #closed = false;

  constructor(options: NvidiaStreamOptions) {
    this.#options = options;
  }

  start(): void {
    const { open, argv, clock } = this.#options;
    this.#round = [];
    this.#startedMs = clock.nowMs();
    this.#expectRound(FIRST_ROUND_LIMIT_MS);
    this.#kill = open(argv, {
      line: (text) => this.#line(text),
      ended: (detail) =>
        this.#again({
          code: 'nvidia_stream_ended',
          text: `${this.#name} stopped telling the cards' memory (${detail}); it is started again, and single calls stand in.`,
        }),
    });
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer();
    this.#kill();
  }

  get #name(): string {
    return this.#options.argv[0] ?? 'nvidia-smi';
  }

  #line(text: string): void {
    const [gpu] = parseNvidiaGpus(text).gpus;
    // Other lines are warnings, or a card that fell off: the round that goes on without it tells.
    if (gpu === undefined) return;
    if (this.#round.some(({ uuid }) => uuid === gpu.uuid)) this.#endRound();
    this.#round.push(gpu);
    if (this.#round.length >= this.#options.gpuCount()) this.#endRound();
  }

  /** S2. */
  #endRound(): void {
    const gpus = this.#round;
    this.#round = [];
    this.#expectRound(SILENCE_LIMIT_MS);
    const { clock, sink, usesOf } = this.#options;
    if (clock.nowMs() - this.#startedMs >= STABLE_MS) {
      this.#pauseMs = RESTART_PAUSE_MS;
      if (this.#troubled) sink.trouble(null);
      this.#troubled = false;
    }
    if (!this.#closed) sink.uses(usesOf(gpus));
  }

  #expectRound(limitMs: number): void {
    const { clock } = this.#options;
    this.#cancelTimer();
    if (this.#closed) return;
    this.#cancelTimer = clock.setTimer(clock.nowMs() + limitMs, () => {
      this.#kill();
      const text = `${this.#name} printed no reading for ${limitMs / 1000} s: the driver or a card hangs. It is started again.`;
      this.#again({ code: 'nvidia_tool_hung', text });
    });
  }

  /** S1. */
  #again(condition: DeviceCondition): void {
    if (this.#closed) return;
    const { clock, sink } = this.#options;
    this.#cancelTimer();
    this.#cancelTimer = clock.setTimer(clock.nowMs() + this.#pauseMs, () => this.start());
    this.#pauseMs = Math.min(2 * this.#pauseMs, RESTART_PAUSE_MS_MAX);
    this.#troubled = true;
    sink.trouble(condition);
  }
}
