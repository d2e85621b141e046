/**
 * What must hold of a gateway's engines around its deaths. Pure: looks at what was seen, and tells in words what must not be.
 */
import type { EngineWord, LivingEngine, Seen } from './engine-census.ts';
import type { StoredLaunch } from './stored-launches.ts';

/** What was there at one moment: with a dead gateway it is exact, with a living one two reads apart. */
export interface Look extends Seen {
  readonly stored: readonly StoredLaunch[];
}

/** A look at what a dead gateway has left, with what the engines say of themselves. */
export interface PostMortem extends Look {
  readonly words: ReadonlyMap<string, EngineWord>;
}

/** What a gateway's log says that it does with a launch. */
export interface LoggedMove {
  readonly launchId: string;
  readonly text: string;
}

/**
 * Every living engine stands in the store, and whatever else there is of a launch. `planted`: launches that the storm itself has planted as debris.
 * Holds at every moment, as a launch is recorded before its process is made and forgotten after it is gone.
 */
export function orphans(
  { engines, stored, remnants }: Look,
  planted: ReadonlySet<string>,
): readonly string[] {
  const known = new Set([...stored.map(({ launchId }) => launchId), ...planted]);
  return [
    ...engines
      .filter(({ launchId }) => !known.has(launchId))
      .map(
        ({ launchId, model, pids }) => `orphan: ${launchId} (${model}, pids ${pids.join()}) is in no record`,
      ),
    ...remnants
      .filter(({ launchId }) => launchId !== null && !known.has(launchId))
      .map(({ launchId, what }) => `orphan: ${launchId}, ${what}, is in no record`),
  ];
}

/** Debris that a gateway which is ready must have ended, and records of launches of which nothing lives. */
export function leftovers(
  { engines, stored, remnants }: Look,
  planted: ReadonlySet<string>,
): readonly string[] {
  const living = new Set(engines.map(({ launchId }) => launchId));
  return [
    ...engines
      .filter(({ launchId }) => planted.has(launchId))
      .map(({ launchId }) => `debris: ${launchId} carries our marks, stands in no record and lives on`),
    ...remnants
      .filter(({ launchId }) => launchId === null || planted.has(launchId))
      .map(({ launchId, what }) => `debris: ${what} (${launchId}) is left`),
    ...stored
      .filter(({ launchId, stage }) => !living.has(launchId) && stage !== 'starting')
      .map(({ launchId, model, stage }) => `record of nothing: ${launchId} (${model}, ${stage})`),
  ];
}

/** No model has two living engines, those that are being stopped aside. */
export function doubles({ engines, stored }: Look, planted: ReadonlySet<string>): readonly string[] {
  const stopping = new Set(
    stored.filter(({ stage }) => stage === 'stopping').map(({ launchId }) => launchId),
  );
  const modelOf = new Map(stored.map(({ launchId, model }) => [launchId, model]));
  const byModel = new Map<string, string[]>();
  for (const { launchId, model } of engines) {
    const name = model ?? modelOf.get(launchId);
    if (name === undefined || stopping.has(launchId) || planted.has(launchId)) continue;
    byModel.set(name, [...(byModel.get(name) ?? []), launchId]);
  }
  return [...byModel]
    .filter(([, ids]) => ids.length > 1)
    .map(([model, ids]) => `two engines: ${model} has ${ids.join(' and ')}`);
}

/** Every start that was seen, in all lives: no launch id may be started twice. */
export class StartBook {
  readonly #identities = new Map<string, string>();

  /** Tells of a launch that is not the process that it was. */
  see(engines: readonly LivingEngine[]): readonly string[] {
    return engines.flatMap(({ launchId, identity }) => {
      if (identity === null) return [];
      const known = this.#identities.get(launchId) ?? identity;
      this.#identities.set(launchId, known);
      return known === identity ? [] : [`started twice: ${launchId} was ${known} and is ${identity}`];
    });
  }

  get starts(): number {
    return this.#identities.size;
  }
}

/** Engines that the next gateway must keep: healthy ones, and whatever was on its way there. */
export function expectedToLive(left: PostMortem): readonly LivingEngine[] {
  const stageOf = new Map(left.stored.map((stored) => [stored.launchId, stored]));
  return left.engines.filter(({ launchId, identity }) => {
    const stored = stageOf.get(launchId);
    if (identity === null || stored === undefined || !stored.isFindable || stored.stage === 'stopping')
      return false;
    return isOnItsWay(stored.stage) || left.words.get(launchId) !== 'silent';
  });
}

function isOnItsWay(stage: string): boolean {
  return stage === 'starting' || stage === 'falling_asleep' || stage === 'waking';
}

/** Reasons of a stop that a gateway gives for engines which it could not keep. */
const NOT_KEPT =
  /has no place for this engine|an earlier gateway that (does not|has ended)|whose devices are gone|it died|its start failed|could not be put to sleep|did not wake/;

/**
 * Engines that should have lived through the death, and do not run as the same process, unless the gateway itself has since
 * decided to stop them for another model. `moves`: of the lives since.
 */
export function lostEngines(
  left: PostMortem,
  now: readonly LivingEngine[],
  moves: readonly LoggedMove[],
): readonly string[] {
  const identityOf = new Map(now.map(({ launchId, identity }) => [launchId, identity]));
  return expectedToLive(left).flatMap(({ launchId, model, identity }) => {
    if (identityOf.get(launchId) === identity) return [];
    const told = moves.filter((move) => move.launchId === launchId).map(({ text }) => text);
    const stops = told.filter((text) => text.startsWith('stop '));
    if (stops.length > 0 && !told.some((text) => NOT_KEPT.test(text))) return [];
    const stage = left.stored.find((stored) => stored.launchId === launchId)?.stage;
    const why = told.length === 0 ? 'nothing was said of it' : told.join('; ');
    return [
      `not kept: ${launchId} (${model}, ${stage}, ${left.words.get(launchId)}) was ${identity} when its gateway died: ${why}`,
    ];
  });
}

/** What a later gateway has yet to bring to its end; empty once it has settled. */
export function unfinished(left: PostMortem, now: Look): readonly string[] {
  const identityOf = new Map(now.engines.map(({ launchId, identity }) => [launchId, identity]));
  const stageNow = new Map(now.stored.map(({ launchId, stage }) => [launchId, stage]));
  const remnantsNow = new Set(now.remnants.map(({ launchId }) => launchId));
  const dead = left.remnants
    .filter(({ launchId }) => remnantsNow.has(launchId))
    .map(({ launchId, what }) => `unfinished: ${what} (${launchId}) is left since its gateway died`);
  const moves = left.stored
    .filter(({ stage }) => stage === 'stopping' || isOnItsWay(stage))
    .filter(({ launchId, stage }) => {
      const before = left.engines.find((engine) => engine.launchId === launchId)?.identity;
      return before != null && identityOf.get(launchId) === before && stageNow.get(launchId) === stage;
    })
    .map(
      ({ launchId, model, stage }) => `unfinished: ${launchId} (${model}) is ${stage} since its gateway died`,
    );
  return [...dead, ...moves];
}

/** What became of what a dead gateway had left, once a later one has settled. */
export interface Aftermath {
  readonly adopted: number;
  readonly resumedStarts: number;
  readonly finishedStops: number;
  readonly finishedSleeps: number;
  readonly finishedWakes: number;
  /** Processes of launches whose record did not name them yet, or that were no engines any more; containers in which nothing ran. */
  readonly endedDebris: number;
}

export const NO_AFTERMATH: Aftermath = {
  adopted: 0,
  resumedStarts: 0,
  finishedStops: 0,
  finishedSleeps: 0,
  finishedWakes: 0,
  endedDebris: 0,
};

export function aftermath(left: PostMortem, now: Look): Aftermath {
  const identityOf = new Map(now.engines.map(({ launchId, identity }) => [launchId, identity]));
  const stageNow = new Map(now.stored.map(({ launchId, stage }) => [launchId, stage]));
  const kept = new Set(expectedToLive(left).map(({ launchId }) => launchId));
  const standing = new Set([...now.remnants.map(({ launchId }) => launchId), ...identityOf.keys()]);
  const endedRemnants = left.remnants.filter(({ launchId }) => !standing.has(launchId)).length;
  const count = { ...NO_AFTERMATH, endedDebris: endedRemnants } as {
    -readonly [Key in keyof Aftermath]: number;
  };
  for (const { launchId, identity } of left.engines) {
    const stage = left.stored.find((stored) => stored.launchId === launchId)?.stage;
    const isSame = identity !== null && identityOf.get(launchId) === identity;
    const isGone = !identityOf.has(launchId);
    if (stage === 'stopping') count.finishedStops += Number(isGone);
    else if (!kept.has(launchId)) count.endedDebris += Number(isGone);
    else if (isSame && stageNow.get(launchId) !== stage && stage === 'starting') count.resumedStarts += 1;
    else if (isSame && stageNow.get(launchId) !== stage && stage === 'falling_asleep')
      count.finishedSleeps += 1;
    else if (isSame && stageNow.get(launchId) !== stage && stage === 'waking') count.finishedWakes += 1;
    else if (isSame) count.adopted += 1;
  }
  return count;
}

export function addAftermath(a: Aftermath, b: Aftermath): Aftermath {
  return {
    adopted: a.adopted + b.adopted,
    resumedStarts: a.resumedStarts + b.resumedStarts,
    finishedStops: a.finishedStops + b.finishedStops,
    finishedSleeps: a.finishedSleeps + b.finishedSleeps,
    finishedWakes: a.finishedWakes + b.finishedWakes,
    endedDebris: a.endedDebris + b.endedDebris,
  };
}
