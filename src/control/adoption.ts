/**
 * How far is an engine of an earlier gateway? Its noted stage says what was meant, the engine itself what has become of it.
 * Every question has a time limit; what cannot be told apart safely is `unusable` and started anew.
 */
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { Clock } from '../core/clock.ts';
import type { Engine, EngineHttp, ProbeResult } from '../engines/engine.ts';
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

/** For the second and further tries. */
const PATIENT_TIMEOUT_MS = 10_000;
const ASKS_MAX = 3;

function unusable(why: string): FoundEngine {
  return { stage: { kind: 'unusable', why }, contextLength: null };
}

const SILENT = 'that does not say whether it sleeps';
const BEING_STOPPED = 'that was being stopped';

/** `ageMs`: since its launch. Never rejects. */
export async function findStage(
  ports: AdoptionPorts,
  noted: LaunchStage,
  ageMs: number,
): Promise<FoundEngine> {
  const { engine, http, model, signal, hasExited } = ports;
  // It was told to end: it may still answer, and will not for long.
  if (noted.kind === 'stopping') return unusable(BEING_STOPPED);
  const first = await engine.probe(http, model, PROBE_TIMEOUT_MS, signal);
  if (first.kind === 'not_ready' && noted.kind === 'starting' && !hasExited())
    return { stage: { kind: 'starting', ageMs }, contextLength: null };
  // It has served before: a moment of load is no reason to start it anew.
  const probed = first.kind === 'not_ready' ? await probedAgain(ports) : first;
  if (probed.kind !== 'ready') return unusable(`that does not answer as it should: ${probed.detail}`);
  const asleep = await askedAsleep(ports, noted);
  if (hasExited()) return unusable('that has ended');
  return { stage: stageOf(noted, asleep), contextLength: probed.contextLength };
}

async function probedAgain(ports: AdoptionPorts): Promise<ProbeResult> {
  const { engine, http, model, signal, hasExited } = ports;
  const fault = await suspectFault(ports, hasExited, null);
  if (fault !== null) return { kind: 'not_ready', detail: fault };
  return engine.probe(http, model, PATIENT_TIMEOUT_MS, signal);
}

/** The question goes through the engine's core, where a long step may be under way. In the middle of a move nobody waits for it. */
async function askedAsleep({ engine, http }: AdoptionPorts, noted: LaunchStage): Promise<boolean | null> {
  const moves = noted.kind === 'falling_asleep' || noted.kind === 'waking';
  for (let ask = 1; ; ask += 1) {
    const asleep = await engine.isAsleep(http, ask === 1 ? PROBE_TIMEOUT_MS : PATIENT_TIMEOUT_MS);
    if (asleep !== null || moves || ask === ASKS_MAX) return asleep;
  }
}

/** Pure. `asleep`: its own word, which a pause counts as well; null: it gave none in time. */
export function stageOf(noted: LaunchStage, asleep: boolean | null): AdoptedStage {
  switch (noted.kind) {
    case 'falling_asleep':
      // Awake, it may be about to fall asleep by what the earlier gateway asked. And a mere pause says that it sleeps, also
      // where the sleep went wrong or freed nothing. It is asked again, and what it holds then is looked at.
      return noted;
    case 'waking':
      return asleep === false ? { kind: 'awake' } : noted;
    case 'asleep':
      if (asleep === null) return { kind: 'unusable', why: SILENT };
      return asleep ? noted : { kind: 'awake' };
    case 'starting':
    case 'serving':
      if (asleep === null) return { kind: 'unusable', why: SILENT };
      // Somebody else's doing. The way of waking from level 2 is right for both levels.
      return asleep ? { kind: 'asleep', level: 2 } : { kind: 'awake' };
    case 'stopping':
      return { kind: 'unusable', why: BEING_STOPPED };
  }
}
