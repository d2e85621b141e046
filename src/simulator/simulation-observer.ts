/** What may watch a simulation: statistics, checkers, pictures. Called synchronously, in the order of what happens. */
import type { Effect } from '../scheduler/effects.ts';
import type { SchedulerEvent } from '../scheduler/events.ts';
import type { SchedulerState } from '../scheduler/state.ts';
import type { RequestEnd, SimulatedRequest } from './request-source.ts';

export interface RequestTimes {
  /** As of the scheduler's events. */
  readonly id: number;
  readonly request: SimulatedRequest;
  readonly arrivedMs: number;
  /** When it went to its engine for the first time; null: it never did. */
  dispatchedMs: number | null;
}

export type MoveKind = 'start' | 'wake' | 'sleep' | 'stop';

/** A move as the machine carries it out: device time, whoever ordered it. */
export interface MachineMove {
  readonly kind: MoveKind;
  readonly model: string;
  readonly deviceIds: readonly string[];
  readonly fromMs: number;
  readonly toMs: number;
}

export interface SimulationObserver {
  /** Before the first event. */
  began?(state: SchedulerState, nowMs: number): void;
  /** After each decision, before its effects are carried out. */
  decided?(event: SchedulerEvent, effects: readonly Effect[], state: SchedulerState, nowMs: number): void;
  arrived?(times: RequestTimes): void;
  dispatched?(times: RequestTimes, nowMs: number): void;
  ended?(times: RequestTimes, end: RequestEnd, nowMs: number): void;
  /** Told at its end. */
  moved?(move: MachineMove): void;
  /** The world caught somebody at what must not happen, such as more memory than there is. */
  violated?(text: string, nowMs: number): void;
}
