/**
 * The life of one model's engine. Each state owns its deadlines; `deadlines.ts` turns the nearest one into a timer.
 * cold -> (fetching ->) starting -> awake -> draining -> stopping -> cold, and `failed` from fetching, starting or after repeated deaths;
 * draining -> falling_asleep -> asleep -> waking -> awake where the engine can sleep. What goes wrong on that way leaves
 * the engine in a state that nobody knows: it is stopped and starts anew.
 */
import type { DeviceId, LaunchId, ModelName } from '../core/ids.ts';
import type { EngineFailure } from './events.ts';

/** Memory held on devices, from the decision to start until the stop is verified. */
export interface Reservation {
  readonly launchId: LaunchId;
  readonly deviceIds: readonly DeviceId[];
  readonly memoryMibPerDevice: number;
  /** While it is not asleep nobody else is placed on its devices, whatever room there is. */
  readonly exclusive: boolean;
  /** Configuration it was launched with. */
  readonly signature: string;
}

export interface ColdState {
  readonly kind: 'cold';
  /** No start before this time; 0: at once. */
  readonly notBeforeMs: number;
  /** What the last start died of, while its backoff lasts; new requests are refused with it. */
  readonly failure: EngineFailure | null;
}

/** Its files are brought into the cache: it holds no device, and nobody gives way for it. */
export interface FetchingState {
  readonly kind: 'fetching';
  readonly sinceMs: number;
  readonly deadlineMs: number;
  bytesDone: number;
  /** Null until the hub has told. */
  bytesTotal: number | null;
}

export interface StartingState {
  readonly kind: 'starting';
  readonly reservation: Reservation;
  readonly sinceMs: number;
  /** Its whole time is known, so that it tells what a start costs. */
  readonly isMeasured: boolean;
  readonly deadlineMs: number;
  phase: string;
  percent: number | null;
}

export interface AwakeState {
  readonly kind: 'awake';
  /** Changes when its use is measured. */
  reservation: Reservation;
  readonly readyMs: number;
  readonly broughtBy: 'wake' | 'cold';
  /** Last moment at which it had work (or became ready). */
  lastUseMs: number;
  /** Not given away before this: a load whose waiters left keeps its room for their retry. */
  keepUntilMs: number;
  /** A connection broke, or it is mute: nothing is dispatched until a probe has answered. */
  suspect: boolean;
  /** A request that was alone in flight when its connection broke; blamed if the engine turns out dead. */
  lostWhileAlone: number | null;
}

export interface DrainingState {
  readonly kind: 'draining';
  readonly awake: AwakeState;
  readonly sinceMs: number;
  /** Running requests are cut here (Infinity: they are waited for); after the cut, when it is stopped whatever still runs. */
  deadlineMs: number;
  /** When it was asked it was still in use: its going is paid for (move-budget.ts). */
  readonly inUse: boolean;
  /** The model that gets the devices; null: nobody in particular (unload, configuration). */
  beneficiary: ModelName | null;
  readonly reason: string;
  /** What follows when nothing runs any more; a sleep that host memory does not allow by then becomes a stop. */
  readonly how: 'sleep' | 'stop';
  wasCut: boolean;
}

export interface FallingAsleepState {
  readonly kind: 'falling_asleep';
  readonly reservation: Reservation;
  readonly level: 1 | 2;
  readonly sinceMs: number;
  readonly deadlineMs: number;
  readonly reason: string;
  /** Why it is not wanted any more: looked at when the move is over. */
  readonly retiring?: string;
}

export interface AsleepState {
  readonly kind: 'asleep';
  /** What it takes again when it wakes. */
  readonly awakeReservation: Reservation;
  /** What stays on its devices meanwhile. */
  readonly reservation: Reservation;
  readonly level: 1 | 2;
  readonly hostMib: number;
  readonly sinceMs: number;
  /** No waking before this time: its devices had no room, whatever was reckoned. */
  notBeforeMs: number;
  /** Not null: it is to be stopped, as soon as no neighbour moves and nothing runs. */
  leaving: string | null;
  /** While it leaves: what runs is cut then, and after the cut it is stopped whatever still runs. */
  leaveByMs: number;
  wasCut: boolean;
}

export interface WakingState {
  readonly kind: 'waking';
  readonly reservation: Reservation;
  /** The state that it goes back to when its devices have no room after all. */
  readonly asleep: AsleepState;
  /** As of `FallingAsleepState`. */
  readonly retiring?: string;
  readonly sinceMs: number;
  readonly deadlineMs: number;
}

export interface StoppingState {
  readonly kind: 'stopping';
  readonly reservation: Reservation;
  /** Of the host, until it is gone: a sleeper gives its weights back no sooner. */
  readonly hostMib: number;
  readonly sinceMs: number;
  /** When to ask again if the stop could not be verified; Infinity while the answer is still out. */
  retryAtMs: number;
  /** The last answer was that something of it is left. */
  unverified: boolean;
  /** What it becomes when it is gone. */
  next: ColdState | FailedState;
  readonly reason: string;
}

export interface FailedState {
  readonly kind: 'failed';
  readonly failure: EngineFailure;
  readonly deaths: number;
  /** A request after this time tries again. */
  readonly untilMs: number;
}

/** Somebody else's server. */
export interface ExternalState {
  readonly kind: 'external';
}

export type EngineState =
  | ColdState
  | FetchingState
  | StartingState
  | AwakeState
  | DrainingState
  | FallingAsleepState
  | AsleepState
  | WakingState
  | StoppingState
  | FailedState
  | ExternalState;

export const COLD: ColdState = { kind: 'cold', notBeforeMs: 0, failure: null };

/** An engine that has just become awake. `keepUntilMs`: as of `AwakeState`. */
export function awakeState(
  reservation: Reservation,
  broughtBy: AwakeState['broughtBy'],
  nowMs: number,
  keepUntilMs = 0,
): AwakeState {
  return {
    kind: 'awake',
    reservation,
    readyMs: nowMs,
    broughtBy,
    lastUseMs: nowMs,
    keepUntilMs,
    suspect: false,
    lostWhileAlone: null,
  };
}

/** The memory that a state holds on devices, or null; of a sleeping engine, what stays there. */
export function reservationOf(engine: EngineState): Reservation | null {
  switch (engine.kind) {
    case 'starting':
    case 'awake':
    case 'falling_asleep':
    case 'asleep':
    case 'waking':
    case 'stopping':
      return engine.reservation;
    case 'draining':
      return engine.awake.reservation;
    case 'cold':
    case 'fetching':
    case 'failed':
    case 'external':
      return null;
  }
}

/** Memory on the devices is changing: no second move may begin there. */
export function isMoving(engine: EngineState): boolean {
  return engine.kind === 'stopping' || isDelicate(engine);
}

/**
 * A neighbour's move would break this one: memory that comes back while vLLM profiles fails its start, and one that goes
 * fails a sleep (vllm.md sections 2 and 5).
 */
export function isDelicate(engine: EngineState): boolean {
  return engine.kind === 'starting' || engine.kind === 'falling_asleep' || engine.kind === 'waking';
}
