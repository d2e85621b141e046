/** The schedule that a solved programme stands for: what it loads when, and how it leaves. Only its use of the resources matters. */
import type { BoundModel } from './bound-model.ts';
import type { ModelRents } from './rents.ts';

/** `…Early`: started ahead of need, and asleep until now; `firstStopped`: started ahead of need, stopped, and started again. */
export const LoadKind = {
  first: 0,
  wake: 1,
  cold: 2,
  firstEarly: 3,
  laterEarly: 4,
  firstStopped: 5,
} as const;
export type LoadKind = (typeof LoadKind)[keyof typeof LoadKind];

/** A load that ended when the model became ready. */
export interface LoadRecord {
  readonly readyMs: number;
  readonly kind: LoadKind;
  /** The load before it; -1: none. */
  readonly parent: number;
  /** From when on that residence could leave. */
  readonly fromMs: number;
  /** When an early start began. */
  readonly startedMs: number;
}

export type UseKind = 'awake' | 'asleep' | 'move' | 'lateStop';

/** Between two moments a model is awake, asleep, moves with all its memory, or is stopped as a sleeper. */
export interface Residence {
  readonly kind: UseKind;
  readonly fromMs: number;
  readonly toMs: number;
}

export interface SolvedPath {
  readonly records: readonly LoadRecord[];
  readonly rents: ModelRents;
  readonly model: BoundModel;
  readonly lastRecord: number;
  readonly endMs: number;
}

/** The last one first. */
export function* residencesOf({ records, rents, model, lastRecord, endMs }: SolvedPath): Iterable<Residence> {
  let leftMs = endMs;
  let record = records[lastRecord];
  while (record !== undefined) {
    const { readyMs, kind, startedMs } = record;
    yield { kind: 'awake', fromMs: readyMs, toMs: leftMs };
    const loadFromMs = readyMs - loadMsOf(kind, model);
    yield { kind: 'move', fromMs: loadFromMs, toMs: readyMs };
    if (kind === LoadKind.firstStopped)
      yield { kind: 'move', fromMs: startedMs, toMs: startedMs + model.firstColdMs };
    if (kind === LoadKind.firstEarly || kind === LoadKind.laterEarly) {
      const coldMs = kind === LoadKind.firstEarly ? model.firstColdMs : model.laterColdMs;
      yield { kind: 'move', fromMs: startedMs, toMs: startedMs + coldMs };
      yield { kind: 'asleep', fromMs: startedMs + coldMs, toMs: loadFromMs };
    }
    const before = records[record.parent];
    if (before === undefined) return;
    if (kind === LoadKind.wake) {
      const { atMs } = rents.sleepingFrom(record.fromMs);
      const asleepMs = atMs + (model.sleep?.fallMs ?? 0);
      yield { kind: 'move', fromMs: atMs, toMs: asleepMs };
      yield { kind: 'asleep', fromMs: asleepMs, toMs: loadFromMs };
      leftMs = atMs;
    } else {
      const { atMs, viaSleepUntilMs } = rents.stoppingFrom(record.fromMs);
      leftMs = atMs;
      if (viaSleepUntilMs === null) yield { kind: 'move', fromMs: atMs, toMs: atMs + model.stopMs };
      else {
        const asleepMs = atMs + (model.sleep?.fallMs ?? 0);
        yield { kind: 'move', fromMs: atMs, toMs: asleepMs };
        yield { kind: 'asleep', fromMs: asleepMs, toMs: viaSleepUntilMs };
        yield { kind: 'lateStop', fromMs: viaSleepUntilMs, toMs: viaSleepUntilMs + model.stopMs };
      }
    }
    record = before;
  }
}

function loadMsOf(kind: LoadKind, { firstColdMs, laterColdMs, sleep }: BoundModel): number {
  if (kind === LoadKind.first) return firstColdMs;
  if (kind === LoadKind.cold || kind === LoadKind.firstStopped) return laterColdMs;
  return sleep?.wakeMs ?? 0;
}
