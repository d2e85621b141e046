import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../core/virtual-clock.ts';
import type { MoveKind } from '../simulation-observer.ts';
import { DeviceMoves, type EndMove } from './device-moves.ts';

class MovesSeen {
  readonly clock = new VirtualClock();
  readonly told: string[] = [];
  readonly #moves = new DeviceMoves(this.clock, {
    moved: ({ kind, model, fromMs, toMs }) => this.told.push(`${kind} ${model} ${fromMs}-${toMs}`),
    violated: (text) => this.told.push(text),
  });

  begin(kind: MoveKind, model: string, deviceIds: readonly string[], durationMs: number): EndMove {
    return this.#moves.begin({
      kind,
      model,
      launchId: model,
      deviceIds,
      durationMs,
      mayDisturb: () => false,
      done: () => this.told.push(`${model} done at ${this.clock.nowMs()}`),
    });
  }
}

test('a stop waits for a stop on its devices, and is overtaken by none that came later', () => {
  const seen = new MovesSeen();
  seen.begin('stop', 'a', ['0'], 100);
  seen.begin('stop', 'wide', ['0', '1'], 100);
  seen.begin('stop', 'b', ['1'], 100);
  seen.begin('stop', 'c', ['2'], 50);
  seen.clock.advanceTo(1_000);
  assert.deepEqual(seen.told, [
    'stop c 0-50',
    'c done at 50',
    'stop a 0-100',
    'a done at 100',
    'stop wide 100-200',
    'wide done at 200',
    'stop b 200-300',
    'b done at 300',
  ]);
});

test('any other two moves on one device are told, and so is each that is ended before its time', () => {
  const seen = new MovesSeen();
  const endStart = seen.begin('start', 'a', ['0', '1'], Number.POSITIVE_INFINITY);
  seen.begin('wake', 'b', ['1'], 100);
  seen.begin('stop', 'c', ['2'], 100);
  const endWaiting = seen.begin('stop', 'd', ['2'], 100);
  endWaiting();
  seen.clock.advanceTo(150);
  endStart();
  endStart();
  assert.deepEqual(seen.told, [
    'the wake of b began on 1 beside the start of a',
    'wake b 0-100',
    'b done at 100',
    'stop c 0-100',
    'c done at 100',
    'start a 0-150',
  ]);
});
