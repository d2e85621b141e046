/** The moves of a recorded run, with the times of their steps: from the scheduler's decision to the first request dispatched. */
import { readFile } from 'node:fs/promises';
import type { Effect } from '../../src/scheduler/effects.ts';
import type { SchedulerEvent } from '../../src/scheduler/events.ts';

interface RecordedStep {
  readonly atMs: number;
  readonly event: SchedulerEvent;
  readonly effects: readonly Effect[];
}

/** One model comes up, and first another one made room where there was none. All times are of one clock. */
export interface Move {
  readonly model: string;
  readonly way: 'start' | 'wake';
  /** How the neighbour left; null: there was room. */
  readonly neighbour: 'stop' | 'sleep' | null;
  /** The first effect that was decided for it. */
  readonly decidedMs: number;
  /** The neighbour has left and its memory was seen to be back. */
  readonly roomMs: number;
  readonly begunMs: number;
  readonly readyMs: number;
  readonly dispatchedMs: number;
}

interface Coming extends Omit<Move, 'dispatchedMs' | 'readyMs'> {
  readyMs: number;
}

/** In order; of a run in which one model at a time makes room and one comes up. */
export async function readMoves(file: string): Promise<readonly Move[]> {
  const lines = (await readFile(file, 'utf8')).trim().split('\n').slice(1);
  const moves: Move[] = [];
  let leaving: { way: 'stop' | 'sleep'; decidedMs: number; roomMs: number } | null = null;
  let coming: Coming | null = null;
  for (const line of lines) {
    const { atMs, event, effects } = JSON.parse(line) as RecordedStep;
    if ((event.kind === 'slept' || event.kind === 'stopped') && leaving !== null) leaving.roomMs = atMs;
    if ((event.kind === 'ready' || event.kind === 'woke') && coming?.model === event.model)
      coming.readyMs = atMs;
    for (const effect of effects) {
      if (effect.kind === 'stop' || effect.kind === 'sleep') {
        leaving = { way: effect.kind, decidedMs: atMs, roomMs: atMs };
      } else if (effect.kind === 'start' || effect.kind === 'wake') {
        coming = {
          model: effect.model,
          way: effect.kind,
          neighbour: leaving?.way ?? null,
          decidedMs: leaving?.decidedMs ?? atMs,
          roomMs: leaving?.roomMs ?? atMs,
          begunMs: atMs,
          readyMs: Number.NaN,
        };
        leaving = null;
      } else if (effect.kind === 'dispatch' && coming?.model === effect.model) {
        moves.push({ ...coming, dispatchedMs: atMs });
        coming = null;
      }
    }
  }
  return moves;
}
