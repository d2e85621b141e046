/** What the scheduler needs to know of the configuration: plain, serialisable, with every default filled. */
import type { DeviceId, LaunchId, ModelName } from '../core/ids.ts';
import type { ModelNeed } from './model-need.ts';

export interface ModelPolicy {
  readonly name: ModelName;
  /** False for servers that somebody else runs (`url`): always awake for us, no device, no turn. */
  readonly managed: boolean;
  /** Pool in which it may be placed; null: any device. */
  readonly pool: string | null;
  /** As it is known at the start; null: it is being found out, and the model waits for the event `sized`. */
  readonly need: ModelNeed | null;
  readonly alwaysOn: boolean;
  /** 0: never stopped for idleness. */
  readonly inactivityTimeoutMs: number;
  readonly minResidenceMs: number;
  readonly loadTimeoutMs: number;
  /** Longest fetch of its files, which goes before its first start; null: there is nothing to fetch. */
  readonly fetchTimeoutMs: number | null;
  readonly drainTimeoutMs: number;
  /** At the drain limit: end what still runs, or keep the devices until it has ended by itself. */
  readonly onDrainTimeout: 'cut' | 'wait';
  readonly queueTimeoutMs: number;
  readonly maxConcurrent: number;
  readonly queueSize: number;
  /** Time between SIGTERM and SIGKILL. */
  readonly stopGraceMs: number;
  /** Start cost to reckon with until one was measured. */
  readonly assumedStartMs: number;
  /** Time limits of the two moves, beyond those that their executor keeps. */
  readonly sleepTimeoutMs: number;
  readonly wakeTimeoutMs: number;
  /** Changes when a running engine no longer is what the configuration asks for. */
  readonly signature: string;
}

export interface DeviceBudget {
  readonly id: DeviceId;
  readonly pool: string | null;
  readonly totalMib: number;
  /** What we may reserve while nobody else uses the device. */
  readonly budgetMib: number;
  /** Kept free of everybody. */
  readonly spareMib: number;
  /** What programs that are not ours use at present; 0 where nobody can tell. */
  readonly foreignMib: number;
}

/** What may be reserved on a device at present: the budget, less what foreign programs take out of it. */
export function availableMib(device: DeviceBudget): number {
  const { budgetMib, totalMib, spareMib, foreignMib } = device;
  return Math.max(0, Math.min(budgetMib, totalMib - spareMib - foreignMib));
}

export interface SchedulingPolicy {
  /** Share e of device time that moves between busy models may take; quantum = switch cost x (1 - e) / e (design.md section 6). */
  readonly switchShare: number;
  readonly lingerMaxMs: number;
}

/** Costs measured in earlier runs, given back at the start so that a recorded run replays. */
export interface LearnedCost {
  readonly startMs: number | null;
  readonly stopMs: number | null;
  readonly sleepMs: number | null;
  readonly wakeMs: number | null;
}

/** All that a scheduler begins with; the header of a recorded run. */
export interface SchedulerSetup {
  readonly models: readonly ModelPolicy[];
  /** Null: not read yet; models wait until `devices_changed` tells. */
  readonly devices: readonly DeviceBudget[] | null;
  readonly scheduling: SchedulingPolicy;
  readonly learned: Readonly<Record<ModelName, LearnedCost>>;
  /** Host memory that our engines may use in all; null: not known yet, and nothing falls asleep. */
  readonly hostBudgetMib: number | null;
  /** First part of every launch id of this run. */
  readonly launchPrefix: string;
}

/** A launch that an earlier gateway made and that still runs. */
export interface AdoptedLaunch {
  readonly model: ModelName;
  readonly launchId: LaunchId;
  readonly deviceIds: readonly DeviceId[];
  readonly memoryMibPerDevice: number;
  readonly signature: string;
  readonly stage: AdoptedStage;
}

/** How far an adopted engine is; what was under way goes on. `ageMs`: since its launch. */
export type AdoptedStage =
  | { readonly kind: 'awake' }
  | { readonly kind: 'starting'; readonly ageMs: number }
  | { readonly kind: 'falling_asleep' | 'asleep' | 'waking'; readonly level: 1 | 2 }
  /** Nobody can use it: it is ended. `why` completes "an engine of an earlier gateway". */
  | { readonly kind: 'unusable'; readonly why: string };
