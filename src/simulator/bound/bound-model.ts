/** What the bound knows of each model: its requests in their order, and what its moves take at the least. */
import type { RequestSource } from '../request-source.ts';
import { coldStartMs } from '../start-times.ts';
import { assignCosts, awakeMib, hostAsleepMib, type ModelCosts, type World } from '../world.ts';

export interface BoundModel {
  readonly name: string;
  /** Ascending, in the run's time. */
  readonly arrivalsMs: Float64Array;
  /** How long each of these holds its slot. */
  readonly servicesMs: Float64Array;
  readonly maxConcurrent: number;
  readonly gpus: number;
  /** On each of its devices. */
  readonly awakeMib: number;
  /** Of the host while it sleeps. */
  readonly hostMib: number;
  readonly firstColdMs: number;
  /** The least that any later cold start takes. */
  readonly laterColdMs: number;
  readonly stopMs: number;
  /** null: it cannot sleep here. */
  readonly sleep: { readonly fallMs: number; readonly wakeMs: number } | null;
}

export interface BoundInput {
  readonly models: readonly BoundModel[];
  /** Names of models that no set of these devices holds: nobody ever serves them. */
  readonly impossible: readonly string[];
}

/** How long cold starts take. */
export interface DrawnStarts {
  readonly seed: number;
  /**
   * Starts of each model in one run, by name: later starts then take at least the least of those draws, which holds for
   * schedules that start no model more often. null: at least the world's minimum, which holds for every schedule.
   */
  readonly counts: ReadonlyMap<string, number> | null;
}

interface Asked {
  readonly arrivalsMs: number[];
  readonly servicesMs: number[];
}

/**
 * Reads the whole source: the bound needs every arrival at once (16 bytes each).
 * `drawn` null: all cold starts take their minimum.
 */
export function readBoundInput(
  world: World,
  source: RequestSource,
  timeScale: number,
  drawn: DrawnStarts | null,
): BoundInput {
  const costs = assignCosts(world, source.models);
  const asked = readRequests(source, timeScale, costs);
  const models: BoundModel[] = [];
  const impossible: string[] = [];
  [...costs].forEach(([name, model], index) => {
    const requests = asked.get(name);
    if (requests === undefined) return;
    if (!fits(world, model)) impossible.push(name);
    else models.push(boundModel(world, name, index, model, requests, drawn));
  });
  return { models, impossible };
}

function readRequests(
  source: RequestSource,
  timeScale: number,
  costs: ReadonlyMap<string, ModelCosts>,
): ReadonlyMap<string, Asked> {
  const asked = new Map<string, Asked>();
  const stream = source.open();
  try {
    for (let request = stream.next(); request !== null; request = stream.next()) {
      const { model, atMs, promptTokens, outputTokens } = request;
      const cost = costs.get(model);
      if (cost === undefined) continue;
      let requests = asked.get(model);
      if (requests === undefined) {
        requests = { arrivalsMs: [], servicesMs: [] };
        asked.set(model, requests);
      }
      requests.arrivalsMs.push(atMs * timeScale);
      requests.servicesMs.push(
        1000 * (promptTokens / cost.prefillTokensPerS + outputTokens / cost.decodeTokensPerS),
      );
    }
  } finally {
    stream.close();
  }
  return asked;
}

function boundModel(
  world: World,
  name: string,
  index: number,
  costs: ModelCosts,
  { arrivalsMs, servicesMs }: Asked,
  drawn: DrawnStarts | null,
): BoundModel {
  const { coldStart, sleepMs, wakeMs, stopMs, maxConcurrent, gpus } = costs;
  const hostMib = hostAsleepMib(costs);
  const draw = (start: number): number =>
    drawn === null ? coldStart.minMs : coldStartMs(coldStart, drawn.seed, index, start);
  let laterColdMs = coldStart.minMs;
  const count = drawn?.counts?.get(name);
  if (count !== undefined && count > 1) {
    laterColdMs = Number.POSITIVE_INFINITY;
    for (let start = 1; start < count; start += 1) laterColdMs = Math.min(laterColdMs, draw(start));
  }
  return {
    name,
    arrivalsMs: Float64Array.from(arrivalsMs),
    servicesMs: Float64Array.from(servicesMs),
    maxConcurrent,
    gpus,
    awakeMib: awakeMib(costs),
    hostMib,
    firstColdMs: draw(0),
    laterColdMs,
    stopMs,
    sleep: world.sleep && hostMib <= world.hostMemoryMib ? { fallMs: sleepMs, wakeMs } : null,
  };
}

function fits({ devices }: World, costs: ModelCosts): boolean {
  const room = devices.filter((device) => awakeMib(costs) <= device.budgetFraction * device.memoryMib);
  return room.length >= costs.gpus;
}
