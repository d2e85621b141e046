/**
 * Moves of memory on devices. A device carries out one at a time: a stop that comes behind another stop waits for it;
 * any other two at once are told to `violated`, and both go on.
 */
import type { Clock } from '../../core/clock.ts';
import type { DeviceId, LaunchId } from '../../core/ids.ts';
import type { MachineMove, MoveKind } from '../simulation-observer.ts';

export interface MoveOrder {
  readonly kind: MoveKind;
  readonly model: string;
  readonly launchId: LaunchId;
  readonly deviceIds: readonly DeviceId[];
  /** Infinity: it hangs. */
  readonly durationMs: number;
  /** It is a matter of course that others move beside it: its engine is broken, or about to be ended. */
  readonly mayDisturb: () => boolean;
  readonly done: () => void;
}

/** Ends a move before its time, or takes it back while it waits; its `done` is not called. Harmless later. */
export type EndMove = () => void;

interface Move extends MoveOrder {
  fromMs: number;
  state: 'waiting' | 'running' | 'over';
  cancel: () => void;
}

export interface MoveWatch {
  readonly moved: (move: MachineMove) => void;
  readonly violated: (text: string) => void;
}

export class DeviceMoves {
  readonly #clock: Clock;
  readonly #watch: MoveWatch;
  readonly #running = new Map<DeviceId, Set<Move>>();
  #waiting: readonly Move[] = [];

  constructor(clock: Clock, watch: MoveWatch) {
    this.#clock = clock;
    this.#watch = watch;
  }

  begin(order: MoveOrder): EndMove {
    const move: Move = { ...order, fromMs: 0, state: 'waiting', cancel: () => {} };
    if (this.#waits(move)) this.#waiting = [...this.#waiting, move];
    else this.#run(move);
    return () => this.#end(move);
  }

  #waits({ kind, deviceIds }: Move): boolean {
    if (kind !== 'stop') return false;
    const meets = (other: Move): boolean => other.deviceIds.some((id) => deviceIds.includes(id));
    const stops = (id: DeviceId): boolean => [...this.#on(id)].some((other) => other.kind === 'stop');
    return deviceIds.some(stops) || this.#waiting.some(meets);
  }

  #run(move: Move): void {
    const nowMs = this.#clock.nowMs();
    for (const id of move.deviceIds) {
      for (const other of this.#on(id)) {
        if (!move.mayDisturb() && !other.mayDisturb())
          this.#watch.violated(
            `the ${move.kind} of ${move.model} began on ${id} beside the ${other.kind} of ${other.model}`,
          );
      }
      this.#on(id).add(move);
    }
    move.state = 'running';
    move.fromMs = nowMs;
    if (move.durationMs === Number.POSITIVE_INFINITY) return;
    move.cancel = this.#clock.setTimer(nowMs + move.durationMs, () => {
      this.#end(move);
      move.done();
    });
  }

  #end(move: Move): void {
    const { state } = move;
    if (state === 'over') return;
    move.state = 'over';
    if (state === 'waiting') {
      this.#waiting = this.#waiting.filter((other) => other !== move);
      return;
    }
    move.cancel();
    for (const id of move.deviceIds) this.#on(id).delete(move);
    const { kind, model, deviceIds, fromMs } = move;
    this.#watch.moved({ kind, model, deviceIds, fromMs, toMs: this.#clock.nowMs() });
    this.#runWaiting();
  }

  /** In their order, so that none is overtaken by one that needs fewer devices. */
  #runWaiting(): void {
    const before = this.#waiting;
    this.#waiting = [];
    for (const move of before) {
      if (this.#waits(move)) this.#waiting = [...this.#waiting, move];
      else this.#run(move);
    }
  }

  #on(id: DeviceId): Set<Move> {
    let moves = this.#running.get(id);
    if (moves === undefined) {
      moves = new Set();
      this.#running.set(id, moves);
    }
    return moves;
  }
}
