/**
 * The least waits over all schedules of a tiny world, found by trying everything, slot by slot: an oracle for the bound. One
 * device. Written from the rules of a world, and shares nothing with the bound.
 */
import type { SimulatedRequest } from '../request-source.ts';
import { awakeMib, hostAsleepMib, type ModelCosts, RESIDUE_MIB, type World } from '../world.ts';

export const SLOT_MS = 1000;
const SLOTS_MAX = 60;

/** Times are in slots. */
type Mode =
  | { readonly kind: 'cold' | 'asleep' | 'awake' | 'draining' }
  | {
      readonly kind: 'starting' | 'waking' | 'falling' | 'stopping' | 'stoppingAsleep';
      readonly left: number;
    };

interface ModelState {
  readonly mode: Mode;
  /** Requests that came, and that were dispatched. */
  readonly come: number;
  readonly gone: number;
  /** What is left of those at the engine, ascending. */
  readonly running: readonly number[];
}

interface TinyModel {
  readonly costs: ModelCosts;
  readonly arrivals: readonly number[];
  readonly services: readonly number[];
}

/** Slots of `not_ready` waits, in all. Times of requests, services and moves must be whole slots, cold starts without spread. */
export function leastWaitSlots(
  world: World,
  models: ReadonlyMap<string, ModelCosts>,
  requests: readonly SimulatedRequest[],
  isDemand: boolean,
): number {
  const tiny = [...models].map(([name, costs]): TinyModel => {
    const own = requests.filter(({ model }) => model === name);
    return {
      costs,
      arrivals: own.map(({ atMs }) => atMs / SLOT_MS),
      services: own.map(({ outputTokens }) => (outputTokens / costs.decodeTokensPerS) * (1000 / SLOT_MS)),
    };
  });
  let layer = new Map<string, { states: readonly ModelState[]; cost: number }>();
  const start = tiny.map((): ModelState => ({ mode: { kind: 'cold' }, come: 0, gone: 0, running: [] }));
  layer.set(JSON.stringify(start), { states: start, cost: 0 });
  let best = Number.POSITIVE_INFINITY;
  for (let slot = 0; slot < SLOTS_MAX; slot += 1) {
    const next = new Map<string, { states: readonly ModelState[]; cost: number }>();
    for (const { states, cost } of layer.values()) {
      if (cost >= best) continue;
      const ready = states.map((state, index) => dispatched(begun(state, tiny[index], slot), tiny[index]));
      if (ready.every((state, index) => state.gone === tiny[index]?.arrivals.length)) {
        best = Math.min(best, cost);
        continue;
      }
      for (const chosen of choices(ready, tiny, isDemand)) {
        if (!isAllowed(chosen, tiny, world)) continue;
        const waits = chosen.reduce((sum, state, index) => sum + waiting(state, tiny[index]), 0);
        const after = chosen.map(passed);
        const key = JSON.stringify(after);
        const known = next.get(key);
        if (known === undefined || known.cost > cost + waits)
          next.set(key, { states: after, cost: cost + waits });
      }
    }
    layer = next;
  }
  return best;
}

/** Moves that are over, and arrivals. */
function begun(state: ModelState, model: TinyModel | undefined, slot: number): ModelState {
  const come = model?.arrivals.filter((arrival) => arrival <= slot).length ?? 0;
  const { mode } = state;
  if (!('left' in mode) || mode.left > 0) return { ...state, come };
  switch (mode.kind) {
    case 'starting':
    case 'waking':
      return { ...state, come, mode: { kind: 'awake' } };
    case 'falling':
      return { ...state, come, mode: { kind: 'asleep' } };
    case 'stopping':
    case 'stoppingAsleep':
      return { ...state, come, mode: { kind: 'cold' } };
  }
}

function dispatched(state: ModelState, model: TinyModel | undefined): ModelState {
  if (state.mode.kind !== 'awake' || model === undefined) return state;
  let { gone } = state;
  const running = [...state.running];
  while (gone < state.come && running.length < model.costs.maxConcurrent) {
    running.push(model.services[gone] ?? 0);
    gone += 1;
  }
  return { ...state, gone, running: running.sort((a, b) => a - b) };
}

function* choices(
  states: readonly ModelState[],
  models: readonly TinyModel[],
  isDemand: boolean,
): Iterable<readonly ModelState[]> {
  const [state, ...others] = states;
  const [model, ...otherModels] = models;
  if (state === undefined || model === undefined) {
    yield [];
    return;
  }
  const options = modesFrom(state, model.costs, isDemand);
  for (const rest of choices(others, otherModels, isDemand)) {
    for (const mode of options) yield [{ ...state, mode }, ...rest];
  }
}

function modesFrom(
  { mode, come, gone, running }: ModelState,
  costs: ModelCosts,
  isDemand: boolean,
): readonly Mode[] {
  const slots = (ms: number): number => Math.round(ms / SLOT_MS);
  const mayLoad = !isDemand || come > gone;
  switch (mode.kind) {
    case 'cold':
      return mayLoad ? [mode, { kind: 'starting', left: slots(costs.coldStart.medianMs) }] : [mode];
    case 'asleep': {
      const stop: Mode = { kind: 'stoppingAsleep', left: slots(costs.stopMs) };
      return mayLoad ? [mode, stop, { kind: 'waking', left: slots(costs.wakeMs) }] : [mode, stop];
    }
    case 'awake':
    case 'draining':
      if (running.length > 0) return mode.kind === 'awake' ? [mode, { kind: 'draining' }] : [mode];
      return [
        mode,
        { kind: 'falling', left: slots(costs.sleepMs) },
        { kind: 'stopping', left: slots(costs.stopMs) },
      ];
    default:
      return [mode];
  }
}

function isAllowed(states: readonly ModelState[], models: readonly TinyModel[], world: World): boolean {
  let moves = 0;
  let mib = 0;
  let hostMib = 0;
  for (const [index, { mode }] of states.entries()) {
    const costs = models[index]?.costs;
    if (costs === undefined) continue;
    if (!world.sleep && mode.kind === 'falling') return false;
    if ('left' in mode) moves += 1;
    if (mode.kind === 'asleep') hostMib += hostAsleepMib(costs);
    if (mode.kind === 'asleep' || mode.kind === 'stoppingAsleep') mib += RESIDUE_MIB;
    else if (mode.kind !== 'cold') mib += awakeMib(costs);
  }
  const budgetMib = world.devices.reduce(
    (sum, { memoryMib, budgetFraction }) => sum + memoryMib * budgetFraction,
    0,
  );
  return moves <= 1 && mib <= budgetMib && hostMib <= world.hostMemoryMib;
}

/** A full engine's queue waits for slots. */
function waiting({ mode, come, gone, running }: ModelState, model: TinyModel | undefined): number {
  const isAwake = mode.kind === 'awake' || mode.kind === 'draining';
  return isAwake && running.length === model?.costs.maxConcurrent ? 0 : come - gone;
}

function passed(state: ModelState): ModelState {
  const { mode } = state;
  const running = state.running.map((left) => left - 1).filter((left) => left > 0);
  return { ...state, running, mode: 'left' in mode ? { ...mode, left: mode.left - 1 } : mode };
}
