/**
 * How far is an engine of an earlier gateway? Its noted stage says what was meant, the engine itself what has become of it.
 * Every question has a time limit; what cannot be told apart safely is `unusable` and started anew.
 */
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { Clock } from '../core/clock.ts';
import type { Engine, EngineHttp } from '../engines/engine.ts';
import type { LaunchStage } from '../runtimes/runtime.ts';
import type { AdoptedStage } from '../scheduler/model-policy.ts';
import { PROBE_TIMEOUT_MS, suspectFault } from './readiness.ts';

export interface AdoptionPorts {
  readonly clock: Clock;
  readonly engine: Engine;
  readonly http: EngineHttp;
  readonly model: ResolvedModel;
  /** Aborts when the launch ends. */
  readonly signal: AbortSignal;
  readonly hasExited: () => boolean;
}

export interface FoundEngine {
  readonly stage: AdoptedStage;
  readonly contextLength: number | null;
}

const UNUSABLE: FoundEngine = { stage: { kind: 'unusable' }, contextLength: null };

/** `ageMs`: since its launch. Never rejects. */
export async function findStage(
  ports: AdoptionPorts,
  noted: LaunchStage,
  ageMs: number,
): Promise<FoundEngine> {
  const { engine, http, model, signal, hasExited } = ports;
  // It was told to end: it may still answer, and will not for long.
  if (noted.kind === 'stopping') return UNUSABLE;
  const first = await engine.probe(http, model, PROBE_TIMEOUT_MS, signal);
  if (first.kind === 'not_ready' && noted.kind === 'starting' && !hasExited())
    return { stage: { kind: 'starting', ageMs }, contextLength: null };
  if (first.kind === 'stranger') return UNUSABLE;
  // It has served before: a moment of load is no reason to start it anew.
  if (first.kind === 'not_ready' && (await suspectFault(ports, hasExited)) !== null) return UNUSABLE;
  const asleep = await engine.isAsleep(http, PROBE_TIMEOUT_MS);
  if (hasExited()) return UNUSABLE;
  const stage = stageOf(noted, asleep);
  return { stage, contextLength: first.kind === 'ready' ? first.contextLength : null };
}

/** Pure. `asleep`: its own word, which a pause counts as well; null: it gave none in time. */
export function stageOf(noted: LaunchStage, asleep: boolean | null): AdoptedStage {
  switch (noted.kind) {
    case 'falling_asleep':
      // Awake, it may be about to fall asleep by what the earlier gateway asked: it is asked again, and then surely is.
      return asleep === true ? { kind: 'asleep', level: noted.level } : noted;
    case 'waking':
      return asleep === false ? { kind: 'awake' } : noted;
    case 'asleep':
      if (asleep === null) return { kind: 'unusable' };
      return asleep ? noted : { kind: 'awake' };
    case 'starting':
    case 'serving':
      if (asleep === null) return { kind: 'unusable' };
      // Somebody else's doing. The way of waking from level 2 is right for both levels.
      return asleep ? { kind: 'asleep', level: 2 } : { kind: 'awake' };
    case 'stopping':
      return { kind: 'unusable' };
  }
}
