import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeLaunchWorld } from '../../test/fakes/fake-launch.ts';
import type { Engine, ProbeResult } from '../engines/engine.ts';
import type { LaunchStage } from '../runtimes/runtime.ts';
import { findStage, stageOf } from './adoption.ts';

const READY: ProbeResult = { kind: 'ready', contextLength: 2048 };
const SILENT: ProbeResult = { kind: 'not_ready', detail: 'refused' };

test('the noted stage and the word of the engine decide together', () => {
  const of = (kind: LaunchStage['kind'], asleep: boolean | null): string => {
    const noted = (
      kind === 'asleep' || kind === 'falling_asleep' || kind === 'waking' ? { kind, level: 1 } : { kind }
    ) as LaunchStage;
    const stage = stageOf(noted, asleep);
    return 'level' in stage ? `${stage.kind} ${stage.level}` : stage.kind;
  };
  const words = [true, false, null] as const;
  const table = (kind: LaunchStage['kind']) => words.map((word) => of(kind, word));
  assert.deepEqual(table('serving'), ['asleep 2', 'awake', 'unusable']);
  assert.deepEqual(table('starting'), ['asleep 2', 'awake', 'unusable']);
  assert.deepEqual(table('falling_asleep'), ['falling_asleep 1', 'falling_asleep 1', 'falling_asleep 1']);
  assert.deepEqual(table('asleep'), ['asleep 1', 'awake', 'unusable']);
  assert.deepEqual(table('waking'), ['waking 1', 'awake', 'waking 1']);
  assert.deepEqual(table('stopping'), ['unusable', 'unusable', 'unusable']);
});

async function find(
  stage: LaunchStage,
  probes: readonly ProbeResult[],
  hasExited = false,
  sleeps: readonly (boolean | null)[] = [false],
) {
  const world = new FakeLaunchWorld();
  let asked = 0;
  let sleepAsked = 0;
  const engine: Engine = {
    ...world.ports.engine,
    isAsleep: async () => sleeps[Math.min(sleepAsked++, sleeps.length - 1)] ?? null,
    probe: async () => {
      asked += 1;
      return probes[Math.min(asked, probes.length) - 1] ?? SILENT;
    },
  };
  const finding = findStage(
    {
      clock: world.clock,
      engine,
      http: world.ports.openHttp({ listen: { kind: 'unix', socketPath: '/nowhere' }, authorization: null }),
      model: world.model,
      signal: new AbortController().signal,
      hasExited: () => hasExited,
    },
    stage,
    12_000,
  );
  await world.run(60_000);
  const found = await finding;
  return { kind: found.stage.kind, contextLength: found.contextLength, asked };
}

test('an engine that is not ready yet goes on starting; one that has served is asked again before it is given up', async () => {
  assert.deepEqual(await find({ kind: 'starting' }, [SILENT]), {
    kind: 'starting',
    contextLength: null,
    asked: 1,
  });
  assert.equal((await find({ kind: 'serving' }, [SILENT, SILENT, READY])).kind, 'awake');
  const given = await find({ kind: 'serving' }, [SILENT]);
  assert.deepEqual([given.kind, given.asked], ['unusable', 4]);
  assert.equal((await find({ kind: 'serving' }, [SILENT, SILENT, READY])).contextLength, 2048);
});

test('an engine that was being stopped is not asked; a stranger and a dead one are of no use', async () => {
  assert.deepEqual(await find({ kind: 'stopping' }, [READY]), {
    kind: 'unusable',
    contextLength: null,
    asked: 0,
  });
  assert.equal((await find({ kind: 'serving' }, [{ kind: 'stranger', detail: 'x' }])).kind, 'unusable');
  assert.equal((await find({ kind: 'serving' }, [READY], true)).kind, 'unusable');
  assert.equal((await find({ kind: 'starting' }, [SILENT], true)).kind, 'unusable');
  assert.deepEqual(await find({ kind: 'starting' }, [READY]), {
    kind: 'awake',
    contextLength: 2048,
    asked: 1,
  });
});

test('an engine whose core is busy for a while is asked again whether it sleeps', async () => {
  assert.equal((await find({ kind: 'serving' }, [READY], false, [null, null, false])).kind, 'awake');
  assert.equal((await find({ kind: 'serving' }, [READY], false, [null])).kind, 'unusable');
  assert.equal((await find({ kind: 'waking', level: 1 }, [READY], false, [null])).kind, 'waking');
});
