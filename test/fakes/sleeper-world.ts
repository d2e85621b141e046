/** Worlds of models whose starts are dear and that may sleep, for the tests of sleep. */
import assert from 'node:assert/strict';
import type { ModelNeed } from '../../src/scheduler/model-need.ts';
import type { ModelPolicy } from '../../src/scheduler/model-policy.ts';
import { SchedulerWorld, testPolicy, testSetup } from './scheduler-world.ts';

const START_MS = 30_000;

/** Sleeps at level 1; 10,000 MiB awake, 500 asleep, 4,000 and 15,000 MiB of the host. */
export function sleeper(name: string, changes: Partial<ModelPolicy & ModelNeed> = {}): ModelPolicy {
  return testPolicy(name, { sleepLevel: 1, assumedStartMs: START_MS, ...changes });
}

interface WorldOptions {
  readonly hostBudgetMib?: number | null;
  readonly budgetsMib?: readonly number[];
  /** The devices have not been read yet. */
  readonly devices?: null;
}

export function worldOf(models: readonly ModelPolicy[], options: WorldOptions = {}): SchedulerWorld {
  const { hostBudgetMib = 100_000, budgetsMib = [16_000], ...rest } = options;
  const setup = { ...testSetup(models, budgetsMib), hostBudgetMib, ...rest };
  return new SchedulerWorld(setup, { startMs: START_MS });
}

export function go(world: SchedulerWorld, ms: number): void {
  world.clock.advanceTo(world.clock.nowMs() + ms);
}

/** A request to each in turn, each served before the next. */
export function serve(world: SchedulerWorld, ...names: readonly string[]): void {
  for (const name of names) {
    const record = world.request(name);
    go(world, 300_000);
    assert.notEqual(record.finishedMs, null, `${name} was not served`);
  }
}

/** The model's engine of an earlier gateway sleeps on `gpu-0`. */
export function adoptAsleep(world: SchedulerWorld, model: string): void {
  world.send({
    kind: 'adopted',
    launch: {
      model,
      launchId: 'old-1',
      deviceIds: ['gpu-0'],
      memoryMibPerDevice: 10_000,
      signature: model,
      stage: { kind: 'asleep', level: 2 },
    },
    contextLength: null,
  });
}
