/** Everything that the scheduler wants done, as data. Each effect says why in words that log and status show. */
import type { Refusal } from '../core/errors.ts';
import type { DeviceId, LaunchId, ModelName, RequestId } from '../core/ids.ts';

export type Effect =
  | {
      readonly kind: 'dispatch';
      readonly requestId: RequestId;
      readonly model: ModelName;
      /** Null for servers that we do not manage. */
      readonly launchId: LaunchId | null;
      readonly waitedMs: number;
      readonly load: 'hot' | 'wake' | 'cold';
      readonly queueDepth: number;
      readonly reason: string;
    }
  | {
      readonly kind: 'refuse';
      readonly requestId: RequestId;
      readonly refusal: Refusal;
      readonly reason: string;
    }
  /** End a dispatched request now; it answers with `finished` or `returned`. */
  | {
      readonly kind: 'cut';
      readonly requestId: RequestId;
      readonly refusal: Refusal;
      readonly reason: string;
    }
  /** Bring the model's files into the cache. Answered with `fetched`, and `fetching` before. */
  | { readonly kind: 'fetch'; readonly model: ModelName; readonly reason: string }
  | { readonly kind: 'cancel_fetch'; readonly model: ModelName; readonly reason: string }
  | {
      readonly kind: 'start';
      readonly model: ModelName;
      readonly launchId: LaunchId;
      readonly deviceIds: readonly DeviceId[];
      readonly memoryMibPerDevice: number;
      readonly reason: string;
    }
  /** Tells that it gets no more requests until what runs has ended; nothing has to be done. */
  | {
      readonly kind: 'drain';
      readonly model: ModelName;
      readonly launchId: LaunchId;
      readonly reason: string;
    }
  /** Nothing runs on it. Answered with `slept`. */
  | {
      readonly kind: 'sleep';
      readonly model: ModelName;
      readonly launchId: LaunchId;
      readonly level: 1 | 2;
      readonly reason: string;
    }
  /** Answered with `woke` or `no_room`. */
  | {
      readonly kind: 'wake';
      readonly model: ModelName;
      readonly launchId: LaunchId;
      readonly level: 1 | 2;
      readonly memoryMibPerDevice: number;
      readonly reason: string;
    }
  | {
      readonly kind: 'stop';
      readonly model: ModelName;
      readonly launchId: LaunchId;
      readonly graceMs: number;
      readonly reason: string;
    }
  /** Leave it running and forget it (`--leave-engines`). */
  | {
      readonly kind: 'release';
      readonly model: ModelName;
      readonly launchId: LaunchId;
      readonly reason: string;
    }
  /** Ask an engine whose connections broke whether it lives. */
  | {
      readonly kind: 'probe';
      readonly model: ModelName;
      readonly launchId: LaunchId;
      readonly reason: string;
    }
  /** This request was alone in flight when its engine died. */
  | {
      readonly kind: 'lone_death';
      readonly requestId: RequestId;
      readonly model: ModelName;
      readonly reason: string;
    }
  /** Replaces an earlier timer of the same key. */
  | { readonly kind: 'set_timer'; readonly key: string; readonly atMs: number };
