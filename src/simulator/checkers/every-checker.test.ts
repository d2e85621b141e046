/** Each checker catches the defect that it is there for, put into the production scheduler from outside. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Effect } from '../../scheduler/effects.ts';
import type { SchedulerEvent } from '../../scheduler/events.ts';
import { createScheduler, type Scheduler } from '../../scheduler/scheduler.ts';
import { TURNS } from '../../scheduler/turns-policy.ts';
import type { SimulatedRequest } from '../request-source.ts';
import { simulate, testCosts, testRequest, testWorld } from '../simulation-fixtures.ts';

type Decide = Scheduler['decide'];

/** `decide`: what it makes of the production scheduler's. */
function mutant(decide: (production: Decide) => Decide): Scheduler {
  const { begin, decide: production } = createScheduler();
  return { begin, decide: decide(production) };
}

/** Two devices, four models of which each holds one, and requests for all of them in turn. */
const WORLD = testWorld({
  devices: [0, 1].map((index) => ({ id: `gpu-${index}`, memoryMib: 12_000, budgetFraction: 0.9 })),
  sleep: true,
  palette: [testCosts({ maxConcurrent: 2 })],
});

function turns(count: number, gapMs: number): SimulatedRequest[] {
  return Array.from({ length: count }, (_, index) => testRequest(index * gapMs, 'abcd'.charAt(index % 4)));
}

/** Whatever is broken, its clients leave in the end, unless they have all patience. */
async function violationsOf(
  scheduler: Scheduler,
  requests = turns(40, 7_000),
  patienceMs: number | null = 3_600_000,
): Promise<string> {
  const { violations } = await simulate(requests, { world: WORLD, scheduler, patienceMs });
  return violations.join('\n');
}

test('production breaks none of the rules', async () => {
  assert.equal(await violationsOf(createScheduler()), '');
});

test('memory: whoever starts engines in room that others hold is caught', async () => {
  // What is told of a stop that was never carried out frees nothing.
  const overCommitter = mutant((decide) => (state, event, nowMs) => {
    const effects = decide(state, event, nowMs);
    const stopped = effects.find((effect) => effect.kind === 'sleep');
    if (stopped === undefined) return effects;
    const { launchId, model } = stopped;
    const slept: SchedulerEvent = {
      kind: 'slept',
      launchId,
      model,
      ok: true,
      residueMib: 0,
      hostMib: 0,
      detail: '',
    };
    return [...effects.filter((effect) => effect !== stopped), ...decide(state, slept, nowMs)];
  });
  const raised = /the start of \w raises what is reserved on gpu-\d to 20000 of 10800 MiB/;
  assert.match(await violationsOf(overCommitter), raised);
  const doubled = mutant((decide) => (state, event, nowMs) => {
    const effects = decide(state, event, nowMs);
    return effects.map((effect) =>
      effect.kind === 'start' ? { ...effect, memoryMibPerDevice: 2 * effect.memoryMibPerDevice } : effect,
    );
  });
  assert.match(await violationsOf(doubled), raised);
});

test('one move per device: whoever starts beside another move is caught', async () => {
  const hasty = mutant((decide) => (state, event, nowMs) => {
    const effects = decide(state, event, nowMs);
    return effects.flatMap((effect): Effect[] =>
      effect.kind === 'start' ? [effect, { ...effect, launchId: `${effect.launchId}-2` }] : [effect],
    );
  });
  assert.match(await violationsOf(hasty), /the start of a begins on gpu-\d beside the start of a/);
});

test('counts: whoever dispatches twice is caught', async () => {
  const doubleDispatcher = mutant((decide) => (state, event, nowMs) => {
    const effects = decide(state, event, nowMs);
    return effects.flatMap((effect): Effect[] => (effect.kind === 'dispatch' ? [effect, effect] : [effect]));
  });
  assert.match(await violationsOf(doubleDispatcher), /request 1 got dispatch while it was running/);
});

test('counts: a slot that is not given back is noticed', async () => {
  let finished = 0;
  const forgetful = mutant((decide) => (state, event, nowMs) => {
    if (event.kind === 'finished') finished += 1;
    return event.kind === 'finished' && finished === 3 ? [] : decide(state, event, nowMs);
  });
  assert.match(await violationsOf(forgetful), /the scheduler knows \d+ of \d+ requests/);
});

test('exactly once: a request that is lost is missed', async () => {
  let arrived = 0;
  const loser = mutant((decide) => (state, event, nowMs) => {
    if (event.kind === 'arrived') arrived += 1;
    return event.kind === 'arrived' && arrived === 5 ? [] : decide(state, event, nowMs);
  });
  const violations = await violationsOf(loser, turns(8, 7_000), null);
  assert.match(violations, /1 requests never ended, the first request 5 of a/);
});

test('bounded wait: whoever starves a model is caught', async () => {
  // It has a turn only when nobody else wants one.
  const starver = createScheduler({
    name: TURNS.name,
    rebalance: (d) => {
      const starved = d.state.models.get('d');
      const others = [...d.state.models.values()].filter((model) => model !== starved);
      const isHidden = starved !== undefined && others.some(({ queue }) => queue.size > 0);
      const contends = isHidden && d.state.contenders.delete(starved);
      TURNS.rebalance(d);
      if (!contends) return;
      d.state.contenders.add(starved);
      starved.reviewAtMs = Number.POSITIVE_INFINITY;
    },
  });
  const busy = Array.from({ length: 6_000 }, (_, index) =>
    testRequest(index * 900, index === 100 ? 'd' : 'abc'.charAt(index % 3)),
  );
  assert.match(await violationsOf(starver, busy), /d has waited for \d+ s, and the bound is \d+ s/);
  assert.equal(await violationsOf(createScheduler(), busy), '');
});

test('no orphan: an engine that is left behind is found', async () => {
  const leaker = mutant((decide) => (state, event, nowMs) => {
    const effects = decide(state, event, nowMs);
    return effects.flatMap((effect): Effect[] => {
      if (effect.kind !== 'sleep') return [effect];
      const { launchId, model } = effect;
      const exited: SchedulerEvent = {
        kind: 'exited',
        launchId,
        model,
        failure: { cause: 'unknown', text: 'it is gone', retryable: true },
      };
      const gone: SchedulerEvent = { kind: 'stopped', launchId, model, verified: true, detail: '' };
      const stops = decide(state, exited, nowMs).filter(({ kind }) => kind !== 'stop');
      return [...stops, ...decide(state, gone, nowMs)];
    });
  });
  assert.match(await violationsOf(leaker), /runs, and nobody knows of it/);
});
