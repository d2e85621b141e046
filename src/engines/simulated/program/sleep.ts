/**
 * Sleep mode with its traps: what is asleep by tag, and what a caller that wakes it in the wrong order gets.
 *
 * S1. Level 2 lost the weights: until `reload_weights` has run while they are resident, answers are garbage.
 * S2. Sleeping while asleep changes nothing but the metric; a tag that is not asleep wakes nothing. Both are answered with 200.
 */
import { type SimContext, scaledMs } from './context.ts';
import type { PauseMode } from './generation.ts';
import { OutOfMemory, SLEEP_TAGS, type SleepTag } from './memory.ts';

export interface SleepState {
  readonly asleep: Set<SleepTag>;
  /** The weights in memory are not the model's. */
  weightsLost: boolean;
  /** Paused without any memory asleep: level 0 or /pause. */
  paused: boolean;
}

export function createSleepState(): SleepState {
  return { asleep: new Set(), weightsLost: false, paused: false };
}

/** A utility call that failed inside the engine: HTTP 500, and the engine's state is unknown. */
export class UtilityFailure extends Error {}

export function isSleeping(context: SimContext): boolean {
  return context.sleep.asleep.size > 0 || context.generation.pauseState() !== 'UNPAUSED';
}

/** `POST /sleep`. Resolves when the engine sleeps. */
export async function sleep(context: SimContext, level: number, mode: PauseMode): Promise<void> {
  const { generation, log, memory, options } = context;
  await pauseScheduler(context, mode);
  context.metrics.sleepLevel = level;
  if (level < 1) return;
  if (context.sleep.asleep.has('weights')) {
    log.core('abstract.py:386', 'Executor is already sleeping.', 'WARNING');
    return;
  }
  await delay(scaledMs(options, options.sim.sleepS));
  if (context.faults.sleepHangs) await never();
  if (context.faults.sleepFails) {
    throw new UtilityFailure('Call to sleep method failed: Memory usage increased after sleeping.');
  }
  for (const tag of SLEEP_TAGS) context.sleep.asleep.add(tag);
  if (memory.kind === 'CPU') {
    log.core('cpu_worker.py:204', 'sleep mode is not supported on CPU, ignore it.', 'WARNING');
  } else {
    const { freedMib, usedMib, backedUpMib } = memory.sleep(level === 1);
    const backedUp = Math.min(freedMib, backedUpMib);
    log.core(
      'cumem.py:246',
      `CuMemAllocator: sleep freed ${gibText(freedMib)} GiB memory in total, of which ${gibText(backedUp)} GiB is backed up in CPU and the rest ${gibText(freedMib - backedUp)} GiB is discarded directly.`,
    );
    log.core(
      'gpu_worker.py:196',
      `Sleep mode freed ${gibText(freedMib)} GiB memory, ${gibText(usedMib)} GiB memory is still in use.`,
    );
  }
  if (level === 2 && memory.frees) context.sleep.weightsLost = true;
  log.core('abstract.py:392', `It took ${options.sim.sleepS.toFixed(6)} seconds to fall asleep.`);
  generation.setGarbage(context.sleep.weightsLost);
}

/** `POST /wake_up`. True when everything is resident and requests run again. */
export async function wakeUp(context: SimContext, tags: readonly string[] | null): Promise<boolean> {
  const { log, memory, options, sleep: state } = context;
  const wanted = tags?.filter((tag) => tag !== 'scheduling') ?? null;
  if (wanted === null || wanted.length > 0) {
    const chosen = chooseTags(context, wanted);
    if (chosen !== null) {
      await delay(scaledMs(options, options.sim.wakeS + (context.faults.slowWakeS ?? 0)));
      if (context.faults.wakeHangs) await never();
      try {
        if (context.faults.wakeFails) throw new OutOfMemory('CUDA error: unspecified launch failure');
        if (context.faults.oomAtWake)
          throw new OutOfMemory('CUDA Error: out of memory at cumem_allocator.cpp:62');
        memory.wake(chosen);
      } catch (error) {
        throw new UtilityFailure(`Call to wake_up method failed: ${String((error as Error).message)}`);
      }
      for (const tag of chosen) state.asleep.delete(tag);
      log.core(
        'abstract.py:410',
        `It took ${options.sim.wakeS.toFixed(6)} seconds to wake up tags ${pythonSet(chosen)}.`,
      );
    }
  }
  if (state.asleep.size > 0) return false;
  context.metrics.sleepLevel = null;
  resumeScheduler(context);
  return true;
}

/** Null: nothing to do, and a warning says so. */
function chooseTags(context: SimContext, wanted: readonly string[] | null): readonly SleepTag[] | null {
  const { asleep } = context.sleep;
  if (asleep.size === 0) {
    context.log.core('abstract.py:399', 'Executor is not sleeping.', 'WARNING');
    return null;
  }
  if (wanted === null) return [...asleep];
  const chosen: SleepTag[] = [];
  for (const tag of wanted) {
    const found = SLEEP_TAGS.find((candidate) => candidate === tag && asleep.has(candidate));
    if (found === undefined) {
      context.log.core(
        'abstract.py:405',
        `Tag ${tag} is not in sleeping tags ${pythonSet([...asleep])}`,
        'WARNING',
      );
      return null;
    }
    chosen.push(found);
  }
  return chosen;
}

/** `collective_rpc reload_weights`: puts the model's weights back where they are resident. */
export function reloadWeights(context: SimContext): void {
  if (context.sleep.asleep.has('weights')) {
    throw new UtilityFailure(
      'Call to collective_rpc method failed: CUDA error: an illegal memory access was encountered',
    );
  }
  context.sleep.weightsLost = false;
  context.generation.setGarbage(false);
}

export async function pauseScheduler(context: SimContext, mode: PauseMode): Promise<void> {
  await context.generation.pause(mode);
  context.log.core('core.py:812', `setting pause state to ${context.generation.pauseState()}`);
}

export function resumeScheduler(context: SimContext): void {
  context.generation.resume();
  context.log.core('core.py:812', 'setting pause state to UNPAUSED');
}

function pythonSet(tags: readonly string[]): string {
  return `{${tags.map((tag) => `'${tag}'`).join(', ')}}`;
}

function gibText(mib: number): string {
  return (mib / 1024).toFixed(2);
}

function never(): Promise<never> {
  return new Promise(() => {});
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
