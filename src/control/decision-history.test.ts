import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../core/virtual-clock.ts';
import type { Effect } from '../scheduler/effects.ts';
import { DecisionHistory } from './decision-history.ts';

const EVENT = { kind: 'timer', key: 'a' } as const;

function dispatch(requestId: number): Effect {
  const about = { kind: 'dispatch', requestId, model: 'a', launchId: 'l', waitedMs: 0 } as const;
  return { ...about, load: 'hot', queueDepth: 0, reason: 'its engine is awake and has a free slot' };
}

function stop(reason: string): Effect {
  return { kind: 'stop', model: 'a', launchId: 'l', graceMs: 0, reason };
}

test('thousands of dispatches are one entry and push out no move', () => {
  const clock = new VirtualClock();
  const history = new DecisionHistory(clock);
  history.observed(EVENT, [stop('it is idle')]);
  for (let id = 0; id < 5_000; id += 1) {
    clock.advanceTo(1_000 + id);
    history.observed(EVENT, [dispatch(id), { kind: 'set_timer', key: 'a', atMs: 0 }]);
  }
  const [last, before, ...more] = history.of('a');
  assert.deepEqual(
    [last?.kind, last?.count, last?.fromWallMs, last?.untilWallMs],
    ['dispatch', 5_000, 1_000, 5_999],
  );
  assert.deepEqual([before?.kind, before?.reason, more.length], ['stop', 'it is idle', 0]);
});

test('only the last ones are kept, the latest first', () => {
  const history = new DecisionHistory(new VirtualClock());
  for (let index = 0; index < 25; index += 1) history.observed(EVENT, [stop(`reason ${index}`)]);
  const kept = history.of('a');
  assert.deepEqual([kept.length, kept[0]?.reason, kept.at(-1)?.reason], [10, 'reason 24', 'reason 15']);
});

test('a refusal is noted with the model that it names; one of an unknown model is not', () => {
  const history = new DecisionHistory(new VirtualClock());
  const arrived = { kind: 'arrived', requestId: 1, model: 'nobody', patienceMs: null } as const;
  const refuse = { kind: 'refuse', requestId: 1 } as const;
  const unknown = { code: 'model_not_found', parameters: { model: 'nobody', hint: '' } } as const;
  history.observed(arrived, [{ ...refuse, refusal: unknown, reason: 'there is no such model' }]);
  assert.deepEqual(history.of('nobody'), []);
  const closing = { code: 'shutting_down', parameters: {}, retryAfterS: 5 } as const;
  history.observed({ ...arrived, model: 'a' }, [{ ...refuse, refusal: closing, reason: 'closing' }]);
  assert.equal(history.of('a')[0]?.reason, 'closing');
});
