/**
 * A WebSocket between a client and an engine: bytes pass both ways as they are, while a frame reader on each way says
 * where frames begin.
 *
 * 1. Each way holds at most `HELD_BYTES_MAX` and one read that its destination has not taken; then its source is paused.
 * 2. A tunnel over which no data frame passed for its idle time rests: its owner holds no lease for it. At rest, pings,
 *    pongs and close frames pass; the first byte of data stops its way, wakes the owner, and goes on at `wake`.
 * 3. The end of one way is passed on as such, a broken connection breaks the other one.
 * 4. `close` ends both ways with a close frame of ours where a frame has ended, and whatever the peers do the connections
 *    are gone after `CLOSING_LIMIT_MS`.
 * 5. `tunnelEnded` is called once, when both connections are gone.
 */
import type { Socket } from 'node:net';
import type { CancelTimer, Clock } from '../core/clock.ts';
import { CLOSE_GOING_AWAY, type CloseReason, closeFrame } from './close-frame.ts';
import { TunnelWay } from './tunnel-way.ts';

/** How long the peers have for the closing handshake that we began. */
const CLOSING_LIMIT_MS = 2_000;

/** `passed`: both ways ended as the peers wanted; `closed`: by us. */
export type TunnelEnd = 'passed' | 'client_broke' | 'engine_broke' | 'closed';

export interface TunnelOwner {
  /** No data passed for the idle time. */
  tunnelRests(): void;
  /** At rest, data wants to pass; it waits for `wake` or `close`. */
  tunnelWants(): void;
  /** Terminal. */
  tunnelEnded(end: TunnelEnd): void;
}

export interface TunnelOptions {
  readonly client: Socket;
  readonly engine: Socket;
  readonly idleMs: number;
  readonly clock: Clock;
  readonly owner: TunnelOwner;
}

export class Tunnel {
  readonly #options: TunnelOptions;
  /** From the client to the engine. */
  readonly #up: TunnelWay;
  /** From the engine to the client. */
  readonly #down: TunnelWay;
  #isResting = false;
  #reason: CloseReason | null = null;
  #end: TunnelEnd | null = null;
  #isFinished = false;
  #lastDataMs: number;
  #cancelTimer: CancelTimer | null = null;

  constructor(options: TunnelOptions) {
    const { client, engine, clock } = options;
    this.#options = options;
    this.#up = new TunnelWay(client, engine);
    this.#down = new TunnelWay(engine, client);
    this.#lastDataMs = clock.nowMs();
    for (const way of [this.#up, this.#down]) {
      way.source.on('data', (piece: Buffer) => this.#take(way, piece));
      way.source.once('end', () => this.#sourceEnded(way));
      way.source.on('drain', () => this.#drained(way.source));
      way.source.on('error', ignore);
      way.source.once('close', () => this.#sourceGone(way));
    }
    this.#arm();
  }

  /** Bytes of frames that came from the client. */
  get bytesUp(): number {
    return this.#up.bytes;
  }

  get bytesDown(): number {
    return this.#down.bytes;
  }

  /** Passes what came with the heads, then everything else. */
  start(fromClient: readonly Buffer[], fromEngine: Buffer): void {
    for (const piece of fromClient) this.#take(this.#up, piece);
    if (fromEngine.length > 0) this.#take(this.#down, fromEngine);
    this.#resumeSources();
  }

  /** After `tunnelWants`: the owner has a lease again. */
  wake(): void {
    if (!this.#isResting || this.#reason !== null || this.#end !== null) return;
    this.#isResting = false;
    this.#lastDataMs = this.#options.clock.nowMs();
    this.#arm();
    this.#release();
  }

  /** Ends both ways. A second call changes nothing. */
  close(reason: CloseReason): void {
    if (this.#reason !== null || this.#end !== null) return;
    this.#reason = reason;
    this.#cancelTimer?.();
    const { clock } = this.#options;
    this.#cancelTimer = clock.setTimer(clock.nowMs() + CLOSING_LIMIT_MS, () => this.#breakOff('closed'));
    for (const way of [this.#up, this.#down]) if (way.reader.atBoundary) this.#sayClose(way);
    this.#release();
    this.#settle();
  }

  #take(way: TunnelWay, piece: Buffer): void {
    way.bytes += piece.length;
    if (this.#reason !== null) {
      this.#takeClosing(way, piece);
    } else if (this.#isResting) {
      this.#takeResting(way, piece);
    } else {
      if (way.follow(piece)) this.#lastDataMs = this.#options.clock.nowMs();
      way.pass(piece);
    }
  }

  #takeResting(way: TunnelWay, piece: Buffer): void {
    const { reader } = way;
    let at = way.held.length > 0 ? -1 : 0;
    while (at >= 0 && at < piece.length && !reader.nextIsData(piece[at] as number)) at = way.step(piece, at);
    if (way.isClosed) this.#expectEnd();
    if (at === piece.length) {
      way.pass(piece);
      return;
    }
    if (at > 0) way.pass(piece.subarray(0, at));
    way.hold(at > 0 ? piece.subarray(at) : piece);
    this.#options.owner.tunnelWants();
  }

  /** The frame that is under way goes on, then comes ours; what follows is read for the peer's close frame only. */
  #takeClosing(way: TunnelWay, piece: Buffer): void {
    let at = 0;
    if (!way.closeSaid) {
      at = way.step(piece, 0);
      way.pass(at === piece.length ? piece : piece.subarray(0, at));
      if (!way.reader.atBoundary) return;
      this.#sayClose(way);
    }
    if (at < piece.length) way.follow(at === 0 ? piece : piece.subarray(at));
    this.#settle();
  }

  #sayClose(way: TunnelWay): void {
    if (way.closeSaid || this.#reason === null) return;
    way.closeSaid = true;
    if (way.isClosed) return;
    const isUp = way === this.#up;
    // To the engine we are the client that leaves, whatever the client is told.
    way.write(closeFrame(isUp ? { ...this.#reason, code: CLOSE_GOING_AWAY } : this.#reason, isUp));
  }

  /** Lets go on what was held. */
  #release(): void {
    for (const way of [this.#up, this.#down]) {
      for (const piece of way.takeHeld()) {
        way.bytes -= piece.length;
        this.#take(way, piece);
      }
      if (way.endHeld) {
        way.endHeld = false;
        this.#sourceEnded(way);
      }
    }
    this.#resumeSources();
  }

  #resumeSources(): void {
    for (const way of [this.#up, this.#down]) way.resumeSource();
  }

  /** A destination is a source of the other way: its buffer is empty again. */
  #drained(socket: Socket): void {
    (socket === this.#down.destination ? this.#down : this.#up).resumeSource();
  }

  #sourceEnded(way: TunnelWay): void {
    if (way.held.length > 0) {
      way.endHeld = true;
      return;
    }
    way.isEnded = true;
    if (this.#reason === null) way.destination.end();
    else this.#settle();
    if (this.#isResting) this.#expectEnd();
  }

  #sourceGone(way: TunnelWay): void {
    if (this.#end === null && this.#reason === null) {
      // A connection that ended both ways is gone in order; its other half follows.
      const inOrder = this.#up.isEnded && this.#down.isEnded;
      if (!inOrder) this.#breakOff(way === this.#up ? 'client_broke' : 'engine_broke');
    }
    this.#settle();
  }

  /** In a closing handshake of ours: ends what is through with it. */
  #settle(): void {
    if (this.#reason !== null && this.#end === null) {
      this.#settlePeer(this.#up, this.#down);
      this.#settlePeer(this.#down, this.#up);
    }
    if (!this.#up.source.closed || !this.#down.source.closed) return;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#options.owner.tunnelEnded(this.#end ?? (this.#reason === null ? 'passed' : 'closed'));
  }

  /** The peer that `from` comes from and `to` goes to. */
  #settlePeer(from: TunnelWay, to: TunnelWay): void {
    const peer = from.source;
    if (to.closeSaid) {
      if (from.isClosed || from.isEnded) peer.end();
    } else if (to.isEnded || to.source.destroyed) {
      // The frame that is under way to it will never be complete.
      to.breakDestination();
    }
  }

  #breakOff(end: TunnelEnd): void {
    this.#end ??= end;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#up.breakDestination();
    this.#down.breakDestination();
  }

  /** At rest, one peer has said its last: the other one has the idle time to end. */
  #expectEnd(): void {
    if (this.#reason !== null || this.#end !== null) return;
    this.#lastDataMs = this.#options.clock.nowMs();
    this.#arm();
  }

  #arm(): void {
    const { clock, idleMs } = this.#options;
    this.#cancelTimer?.();
    this.#cancelTimer = clock.setTimer(this.#lastDataMs + idleMs, () => this.#look());
  }

  #look(): void {
    this.#cancelTimer = null;
    if (this.#reason !== null || this.#end !== null) return;
    const { clock, idleMs, owner } = this.#options;
    if (clock.nowMs() - this.#lastDataMs < idleMs) {
      this.#arm();
      return;
    }
    const isOver = (way: TunnelWay): boolean => way.isEnded || way.isClosed;
    if (isOver(this.#up) || isOver(this.#down)) {
      // One peer has said its last, and the other one does not end.
      this.#breakOff('passed');
      return;
    }
    this.#isResting = true;
    owner.tunnelRests();
  }
}

/** What broke is told by `close`. */
function ignore(): void {}
