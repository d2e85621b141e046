/** Everything that happens to the scheduler. Plain data with ids: a list of these, with their times, is a run. */
import type { DeviceId, LaunchId, ModelName, RequestId } from '../core/ids.ts';
import type { ModelNeed } from './model-need.ts';
import type { AdoptedLaunch, DeviceBudget, ModelPolicy, SchedulingPolicy } from './model-policy.ts';

export type SchedulerEvent =
  | {
      readonly kind: 'arrived';
      readonly requestId: RequestId;
      readonly model: ModelName;
      readonly patienceMs: number | null;
      /** Needs no device: a sleeping engine answers it too, and nobody is evicted for it. */
      readonly light?: true;
    }
  /** The client of a waiting request is gone. */
  | { readonly kind: 'left'; readonly requestId: RequestId }
  /** A dispatched request ended. `broken`: the engine's side of it broke off. */
  | { readonly kind: 'finished'; readonly requestId: RequestId; readonly broken: boolean }
  /** A dispatched request comes back before its client saw a byte. */
  | {
      readonly kind: 'returned';
      readonly requestId: RequestId;
      readonly cause: ReturnCause;
      readonly detail: string;
    }
  /** How far a `fetch` is. */
  | {
      readonly kind: 'fetching';
      readonly model: ModelName;
      readonly bytesDone: number;
      readonly bytesTotal: number | null;
    }
  /** Answer to a `fetch` effect, unless it was cancelled. */
  | { readonly kind: 'fetched'; readonly model: ModelName; readonly failure: EngineFailure | null }
  | {
      readonly kind: 'phase';
      readonly launchId: LaunchId;
      readonly model: ModelName;
      readonly phase: string;
      readonly percent: number | null;
    }
  | {
      readonly kind: 'ready';
      readonly launchId: LaunchId;
      readonly model: ModelName;
      readonly contextLength: number | null;
    }
  /** The engine's process ended by itself, or could not be started at all. */
  | {
      readonly kind: 'exited';
      readonly launchId: LaunchId;
      readonly model: ModelName;
      readonly failure: EngineFailure;
      /** What was changed so that another start may succeed; it then starts at once. Only for failed starts. */
      readonly mended?: string;
    }
  /** Its devices do not have the memory that they should: the launch, or the waking, was not begun. */
  | {
      readonly kind: 'no_room';
      /** It was to wake and sleeps on; else it was to start and nothing of it was begun. */
      readonly asleep: boolean;
      readonly launchId: LaunchId;
      readonly model: ModelName;
      readonly freeMib: Readonly<Record<DeviceId, number>>;
    }
  /** Answer to a `sleep` effect. Not `ok`: its state is unknown. */
  | {
      readonly kind: 'slept';
      readonly launchId: LaunchId;
      readonly model: ModelName;
      readonly ok: boolean;
      /** What stays on each device, and what its processes hold of the host; null where nobody can tell. */
      readonly residueMib: number | null;
      readonly hostMib: number | null;
      readonly detail: string;
    }
  /** Answer to a `wake` effect. Not `ok`: its state is unknown. */
  | {
      readonly kind: 'woke';
      readonly launchId: LaunchId;
      readonly model: ModelName;
      readonly ok: boolean;
      readonly detail: string;
    }
  /** What a model takes is known, or known better. */
  | { readonly kind: 'sized'; readonly model: ModelName; readonly need: ModelNeed }
  /** What a running engine really holds on each of its devices. */
  | {
      readonly kind: 'measured';
      readonly launchId: LaunchId;
      readonly model: ModelName;
      readonly memoryMibPerDevice: number;
    }
  /** Host memory that our engines may use in all. */
  | { readonly kind: 'host_memory'; readonly budgetMib: number }
  /** Answer to a `stop` effect. Not verified: something of it is left, its memory stays reserved. */
  | {
      readonly kind: 'stopped';
      readonly launchId: LaunchId;
      readonly model: ModelName;
      readonly verified: boolean;
      readonly detail: string;
    }
  /** Requests were at the engine for longer than its model allows, and none got a byte of an answer. */
  | { readonly kind: 'mute'; readonly launchId: LaunchId; readonly model: ModelName }
  /** Answer to a `probe` effect. */
  | {
      readonly kind: 'probed';
      readonly launchId: LaunchId;
      readonly model: ModelName;
      readonly healthy: boolean;
      readonly detail: string;
    }
  | { readonly kind: 'adopted'; readonly launch: AdoptedLaunch; readonly contextLength: number | null }
  /** Devices or their budgets changed. */
  | { readonly kind: 'devices_changed'; readonly devices: readonly DeviceBudget[] }
  | { readonly kind: 'timer'; readonly key: string }
  | {
      readonly kind: 'configuration_changed';
      readonly models: readonly ModelPolicy[];
      readonly devices: readonly DeviceBudget[];
      readonly scheduling: SchedulingPolicy;
    }
  | { readonly kind: 'operator_command'; readonly command: OperatorCommand }
  /** `drain`: no new requests, no new loads. `stop`: running requests are cut and engines stopped (or left). */
  | { readonly kind: 'shutdown'; readonly step: 'drain' | 'stop'; readonly leaveEngines: boolean };

export type ReturnCause = 'not_sent' | 'connection_lost' | 'cut';

export interface EngineFailure {
  readonly cause: string;
  readonly text: string;
  readonly retryable: boolean;
}

export type OperatorCommand =
  /** Make it ready without a request. */
  | { readonly kind: 'load'; readonly model: ModelName }
  /** Drain and stop it; a later request starts it again. */
  | { readonly kind: 'unload'; readonly model: ModelName }
  /** Forget its failures: the next request starts it at once. */
  | { readonly kind: 'reset'; readonly model: ModelName };
