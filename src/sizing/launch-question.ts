/** What is asked of sizing before a launch, and what it answers. Plain data. */
import type { CandidateDevice } from './device-fit.ts';
import type { Overhead } from './footprint.ts';
import type { LaunchOptions } from './launch-options.ts';
import type { ModelFacts } from './model-facts.ts';

export interface SizingNumbers {
  readonly overhead: Overhead;
  readonly colocateMarginMib: number;
  /** Share of a card's memory up to which a model may share it. */
  readonly colocateMaxShare: number;
  readonly colocateWeightOverhead: number;
}

/** What a start that died of memory has shown to be missing on each device. */
export interface Correction {
  readonly extraMib: number;
  /** KV cache without which the engine does not start; 0: not told. */
  readonly leastKvBytes: number;
}

export interface SizingQuestion {
  /** Null: not readable. */
  readonly facts: ModelFacts | null;
  readonly options: LaunchOptions;
  readonly numbers: SizingNumbers;
  /** All devices of the machine; those of `options.pool` count, the others only for advice. Empty: not known. */
  readonly devices: readonly CandidateDevice[];
  readonly learned: LearnedUse | null;
  readonly correction: Correction | null;
}

export type NeedSource = 'configured' | 'computed' | 'learned' | 'corrected' | 'whole_device' | 'unknown';

/** Of one device. */
export interface NeedParts {
  readonly weightsMib: number;
  readonly kvMib: number;
  readonly overheadMib: number;
}

export interface LaunchNeed {
  readonly deviceCount: number;
  /** Null: the whole available budget of each device. */
  readonly memoryMibPerDevice: number | null;
  /** On each device; null: whatever the utilisation leaves. */
  readonly kvCacheBytes: number | null;
  /** Nothing is known of it: it runs alone until it was measured. */
  readonly measureAlone: boolean;
  readonly source: NeedSource;
  readonly parts: NeedParts | null;
  /** One sentence without the closing full stop. */
  readonly why: string;
  /** Why no device can ever hold it, with the nearest change that would; null: some can. */
  readonly neverFits: string | null;
}

/** Of one device of an earlier launch. */
export interface LearnedUse {
  readonly deviceCount: number;
  readonly usedMib: number;
  /** Null: the engine did not tell. */
  readonly kvCacheMib: number | null;
  readonly kvCacheTokens: number | null;
  readonly weightsMib: number | null;
}
