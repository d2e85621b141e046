/** What the sizer needs around it, is told, and answers. */
import type { ResolvedConfig, ResolvedModel } from '../config/resolved-config.ts';
import type { Clock } from '../core/clock.ts';
import type { LaunchId, ModelName } from '../core/ids.ts';
import type { UseSource } from '../devices/device.ts';
import type { Engine } from '../engines/engine.ts';
import type { ModelNeed } from '../scheduler/model-need.ts';
import type { NeedParts, NeedSource } from '../sizing/launch-question.ts';
import type { FootprintStore } from '../store/footprints.ts';
import type { Log } from '../telemetry/log.ts';
import type { FactsRead } from './sizer-reading.ts';

export interface SizerPorts {
  readonly config: ResolvedConfig;
  readonly engineOf: (model: ResolvedModel) => Pick<Engine, 'capabilities' | 'version'>;
  /** Has a time limit of its own; null: there is nothing to read of this model. Called only where there is a `repo`. */
  readonly readFacts: (model: ResolvedModel) => Promise<FactsRead> | null;
  /** Nobody but us will reach its engine, so that it may open the routes by which it sleeps. */
  readonly isReachedPrivately: (model: ResolvedModel) => boolean;
  readonly footprints: Pick<FootprintStore, 'all' | 'put' | 'refusedFlags' | 'addRefusedFlag'>;
  readonly clock: Clock;
  /** Under which footprints are stored: equal as long as a launch takes the same. */
  readonly signatureOf: (model: ResolvedModel) => string;
  /** Never called within `start` or `needOf`. */
  readonly onNeed: (model: ModelName, need: ModelNeed) => void;
  readonly log: Log;
}

export interface MeasuredUse {
  readonly launchId: LaunchId;
  readonly model: ModelName;
  readonly signature: string;
  readonly deviceCount: number;
  /** On the device on which it uses most. */
  readonly usedMib: number;
  readonly source: UseSource;
  /** Of all its processes. */
  readonly hostMib: number | null;
}

export interface MeasuredSleep {
  readonly model: ModelName;
  /** What stays on each of its devices. */
  readonly residueMib: number | null;
  readonly hostMib: number | null;
}

export interface LaunchPlan {
  readonly kvCacheBytes: number | null;
  readonly sleepMode: boolean;
  readonly withoutFlags: ReadonlySet<string>;
}

/** For status and `plan`. */
export interface SizingReport {
  readonly model: ModelName;
  /** `waiting`: its facts are being read. */
  readonly source: NeedSource | 'waiting';
  readonly deviceCount: number;
  readonly memoryMibPerDevice: number | null;
  readonly kvCacheBytes: number | null;
  readonly parts: NeedParts | null;
  readonly why: string;
  readonly neverFits: string | null;
  /** Where its facts come from, or why there are none; null: none were looked for. */
  readonly factsOrigin: string | null;
  readonly assumptions: readonly string[];
}
