/**
 * One engine as it really is, whatever the gateway believes of it. Every move goes through `DeviceMoves`, every MiB through
 * `MemoryBooks`.
 */
import type { ExitStatus, SleepResult } from '../../engines/engine.ts';
import type {
  EngineHandle,
  LaunchObserver,
  LaunchSpec,
  LaunchStage,
  StopResult,
} from '../../runtimes/runtime.ts';
import type { MoveKind } from '../simulation-observer.ts';
import { awakeMib, hostAsleepMib, type ModelCosts, RESIDUE_MIB } from '../world.ts';
import type { DeviceMoves, EndMove } from './device-moves.ts';
import type { MemoryBooks } from './memory-books.ts';
import type { MoveFate } from './move-fate.ts';

/** `broken`: it runs, and answers nothing as it should. */
export type MachinePhase =
  | 'starting'
  | 'awake'
  | 'falling_asleep'
  | 'asleep'
  | 'waking'
  | 'stopping'
  | 'broken'
  | 'gone';

/** The line by which an engine says that it serves. */
export const SERVING_LINE = 'serving';

/** A request at an engine. */
export interface RequestAtEngine {
  /** Its connection breaks. */
  broke(): void;
  /** No byte comes any more, until its gateway gives up after this time. */
  stall(silenceMs: number): void;
}

/** How long a gateway waits for the next byte of an engine. */
const SILENCE_MS = 60_000;

export interface LaunchMachine {
  readonly books: MemoryBooks;
  readonly moves: DeviceMoves;
  readonly fateOf: (kind: MoveKind, launch: MachineLaunch) => MoveFate;
  readonly violated: (text: string) => void;
  /** Told before anything that the gateway hears of. */
  readonly touched: () => void;
  /** Runs it so much later. */
  readonly later: (ms: number, run: () => void) => void;
  /** Nothing of it is left. */
  readonly gone: (launch: MachineLaunch) => void;
}

type Settle<T> = (result: T) => void;

export class MachineLaunch {
  readonly spec: LaunchSpec;
  readonly handle: EngineHandle;
  readonly costs: ModelCosts;
  readonly running = new Set<RequestAtEngine>();
  phase: MachinePhase = 'starting';
  /** Its gateway has decided to end it: what happens to its present move does not matter any more. */
  isEnding = false;
  /** As the gateway noted it last. */
  stage: LaunchStage = { kind: 'starting' };
  observer: LaunchObserver;
  readonly #machine: LaunchMachine;
  #endMove: EndMove = () => {};
  /** Who waits for the end of a sleep or a waking that is under way. */
  #asked: Settle<SleepResult>[] = [];
  #stopAsked: Settle<StopResult>[] = [];
  /** Who waits until it answers, or never will. */
  #waiting: (() => void)[] = [];

  constructor(
    machine: LaunchMachine,
    spec: LaunchSpec,
    handle: EngineHandle,
    costs: ModelCosts,
    observer: LaunchObserver,
  ) {
    this.#machine = machine;
    this.spec = spec;
    this.handle = handle;
    this.costs = costs;
    this.observer = observer;
    if (spec.deviceIds.length !== costs.gpus)
      machine.violated(
        `${spec.model} was started on ${spec.deviceIds.length} devices instead of ${costs.gpus}`,
      );
    machine.books.hold(spec.launchId, spec.deviceIds, awakeMib(costs));
    this.#move('start', (end) => {
      if (end === 'dies') {
        this.exit({ code: 1, signal: null });
        return;
      }
      this.phase = 'awake';
      this.line(SERVING_LINE);
      this.#answers();
    });
  }

  get isAlive(): boolean {
    return this.phase !== 'gone';
  }

  line(text: string): void {
    this.#machine.touched();
    this.observer.line(text);
  }

  /** A request has come. */
  receive(request: RequestAtEngine): void {
    const { model, launchId } = this.spec;
    // That it is broken nobody can know yet.
    if (this.phase === 'broken') request.stall(SILENCE_MS);
    else if (this.phase !== 'awake')
      this.#machine.violated(`a request was sent to ${model} (${launchId}), which is ${this.phase}`);
    this.running.add(request);
    if (this.running.size > this.costs.maxConcurrent)
      this.#machine.violated(
        `${model} has ${this.running.size} requests of at most ${this.costs.maxConcurrent}`,
      );
  }

  sleep(): Promise<SleepResult> {
    if (this.phase === 'asleep') return Promise.resolve({ kind: 'done' });
    if (this.phase === 'falling_asleep') return this.#joined();
    if (this.phase !== 'awake') return Promise.resolve({ kind: 'failed', detail: `it is ${this.phase}` });
    const { model, launchId, deviceIds } = this.spec;
    const { books, violated } = this.#machine;
    if (this.running.size > 0) violated(`${model} was put to sleep with ${this.running.size} requests`);
    this.phase = 'falling_asleep';
    books.holdHost(launchId, hostAsleepMib(this.costs));
    this.#move('sleep', (end) => {
      if (end === 'dies') this.exit({ code: 1, signal: null });
      else if (end === 'fails') this.#broke('the sleep failed');
      else {
        if (end === 'frees_nothing') books.deny(launchId);
        else books.hold(launchId, deviceIds, RESIDUE_MIB);
        this.phase = 'asleep';
        this.#answer({ kind: 'done' });
      }
    });
    return this.#joined();
  }

  wake(): Promise<SleepResult> {
    if (this.phase === 'awake') return Promise.resolve({ kind: 'done' });
    if (this.phase === 'waking') return this.#joined();
    if (this.phase !== 'asleep') return Promise.resolve({ kind: 'failed', detail: `it is ${this.phase}` });
    const { launchId, deviceIds } = this.spec;
    const { books } = this.#machine;
    this.phase = 'waking';
    books.hold(launchId, deviceIds, awakeMib(this.costs));
    this.#move('wake', (end) => {
      if (end === 'dies') this.exit({ code: 1, signal: null });
      else if (end === 'fails') this.#broke('the waking failed');
      else {
        books.holdHost(launchId, 0);
        this.phase = 'awake';
        this.#answer({ kind: 'done' });
      }
    });
    return this.#joined();
  }

  stop(): Promise<StopResult> {
    if (this.phase === 'gone') return Promise.resolve({ kind: 'gone', tookMs: 0, forced: false });
    const answer = new Promise<StopResult>((resolve) => this.#stopAsked.push(resolve));
    if (this.phase === 'stopping') return answer;
    const isBroken = this.phase === 'broken';
    const isStarting = this.phase === 'starting';
    this.#endMove();
    this.#answer({ kind: 'failed', detail: 'it is being stopped' });
    this.phase = 'stopping';
    this.#breakRequests();
    this.#move(
      'stop',
      (end) => {
        if (end === 'left') {
          this.phase = 'broken';
          this.#answerStops({ kind: 'left', detail: 'a process of it does not end' });
        } else this.exit({ code: 0, signal: null });
      },
      isBroken || isStarting,
    );
    return answer;
  }

  /** Its process ends, and its memory is free. `noticedMs`: so much later its gateway hears of it. */
  exit(exit: ExitStatus, noticedMs = 0): void {
    if (this.phase === 'gone') return;
    const { launchId, deviceIds } = this.spec;
    const { books, touched, later, gone } = this.#machine;
    this.#endMove();
    this.phase = 'gone';
    books.hold(launchId, deviceIds, 0);
    books.holdHost(launchId, 0);
    touched();
    this.#breakRequests();
    gone(this);
    this.#answers();
    const notice = (): void => {
      touched();
      this.observer.exited(exit);
    };
    if (noticedMs > 0) later(noticedMs, notice);
    else notice();
    this.#answer({ kind: 'failed', detail: 'its process has ended' });
    this.#answerStops({ kind: 'gone', tookMs: 0, forced: false });
  }

  /** It runs on and answers nothing any more. */
  hang(): void {
    if (this.phase === 'gone' || this.phase === 'stopping') return;
    this.#endMove();
    this.phase = 'broken';
    for (const request of this.running) request.stall(SILENCE_MS);
  }

  /** Until it serves for the first time, or is gone. */
  untilAnswering(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #answers(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  #broke(detail: string): void {
    this.phase = 'broken';
    this.#answer({ kind: 'failed', detail });
  }

  #move(kind: MoveKind, done: (end: MoveFate['end']) => void, ofBroken = false): void {
    const { model, launchId, deviceIds } = this.spec;
    const { moves, fateOf, touched } = this.#machine;
    const fate = fateOf(kind, this);
    const durationMs = fate.end === 'hangs' ? Number.POSITIVE_INFINITY : fate.durationMs;
    this.#endMove = moves.begin({
      kind,
      model,
      launchId,
      deviceIds,
      durationMs,
      mayDisturb: () => ofBroken || (kind !== 'stop' && this.isEnding),
      done: () => {
        touched();
        done(fate.end);
      },
    });
  }

  #joined(): Promise<SleepResult> {
    return new Promise((resolve) => this.#asked.push(resolve));
  }

  #answer(result: SleepResult): void {
    const asked = this.#asked;
    this.#asked = [];
    for (const settle of asked) settle(result);
  }

  #answerStops(result: StopResult): void {
    const asked = this.#stopAsked;
    this.#stopAsked = [];
    for (const settle of asked) settle(result);
  }

  #breakRequests(): void {
    const broken = [...this.running];
    this.running.clear();
    for (const request of broken) request.broke();
  }
}
