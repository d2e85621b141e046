/** The common part of the policies to compare with: whose leaving makes room for a model, and on which devices. */
import type { PolicyDesk } from '../../scheduler/policy-desk.ts';
import type { ModelView, PolicyDevice } from '../../scheduler/policy-views.ts';

export interface Eviction {
  /** May this engine, which is awake or asleep, be asked to go for others now? */
  mayGo(engine: ModelView): boolean;
  /** Who goes first has the least; equal ones go by name. */
  rank(engine: ModelView): number;
  how(engine: ModelView): 'sleep' | 'stop';
  /** Told of each that is about to be put away. */
  went?(engine: ModelView): void;
  /** Everybody leaves a device before somebody else is brought up there. */
  readonly everybody?: boolean;
  /** Why an engine may go, for its reason. */
  readonly why: string;
}

/** Seats whoever waits, who came first first; but those that hold devices already before all others. */
export function seatInOrder(desk: PolicyDesk, eviction: Eviction): void {
  const { waiting } = desk;
  for (const model of waiting) if (desk.heldBefore(model) !== null) makeRoom(desk, model, eviction);
  for (const model of waiting) if (desk.heldBefore(model) === null) makeRoom(desk, model, eviction);
}

/**
 * Brings the model up if there is room for it; else holds the devices whose victims rank lowest (the highest victim of a
 * device counts) and has these go. False: nothing can be done for it at present.
 */
export function makeRoom(desk: PolicyDesk, model: ModelView, eviction: Eviction): boolean {
  // A sleeper may have had to go for somebody before it.
  if (!desk.isWaiting(model)) return false;
  const held = desk.heldBefore(model);
  const sites =
    (held === null ? null : choose(desk, model, eviction, held)) ?? choose(desk, model, eviction, null);
  if (sites === null) return false;
  const deviceIds = sites.map((site) => site.device.id);
  const victims = new Map(
    sites.flatMap((site) => site.victims).map((victim) => [victim.engine.name, victim]),
  );
  if (victims.size === 0 && desk.roomFor(model, deviceIds) !== null) {
    desk.bringUp(model, deviceIds);
    return true;
  }
  if (model.isLight) return false;
  desk.hold(model, deviceIds);
  for (const { engine, how } of victims.values()) {
    eviction.went?.(engine);
    desk.putAway(engine, how, `${eviction.why}, and ${model.name} waits for its devices`);
  }
  return true;
}

interface Victim {
  readonly engine: ModelView;
  how: 'sleep' | 'stop';
}

interface Site {
  readonly device: PolicyDevice;
  readonly victims: readonly Victim[];
  /** It has room now, or nobody has to be asked for it, or somebody has. */
  readonly effort: 'none' | 'patience' | 'eviction';
  readonly rank: number;
}

const EFFORTS: readonly Site['effort'][] = ['none', 'patience', 'eviction'];

function choose(
  desk: PolicyDesk,
  model: ModelView,
  eviction: Eviction,
  held: readonly string[] | null,
): readonly Site[] | null {
  const isAsleep = model.phase === 'asleep';
  const only = isAsleep ? model.deviceIds : held;
  const sites = desk.devices
    .filter((device) => device.heldFor === null && (only?.includes(device.id) ?? isOfPool(device, model)))
    .map((device) => siteOf(desk, device, model, eviction))
    .filter((site) => site !== null)
    .sort(
      (a, b) =>
        EFFORTS.indexOf(a.effort) - EFFORTS.indexOf(b.effort) ||
        compare(a.rank, b.rank) ||
        a.device.freeMib - b.device.freeMib ||
        compare(a.device.id, b.device.id),
    );
  for (const { device } of sites) {
    const alike = isAsleep ? sites : sites.filter((site) => site.device.totalMib === device.totalMib);
    if (alike.length >= model.deviceCount) return alike.slice(0, model.deviceCount);
  }
  return null;
}

function isOfPool(device: PolicyDevice, { pool }: ModelView): boolean {
  return pool === null || device.pool === pool;
}

/** Null: it has no room for the model at present, whoever of those goes that may. */
function siteOf(desk: PolicyDesk, device: PolicyDevice, model: ModelView, eviction: Eviction): Site | null {
  const others = device.engines.filter((engine) => engine.name !== model.name);
  // Nobody leaves beside an engine that comes up, and nothing comes up beside it.
  if (others.some(({ phase }) => phase === 'starting' || phase === 'waking')) return null;
  const alone = eviction.everybody === true || model.memoryMib === null;
  const neededMib = alone ? device.budgetMib : (model.memoryMib ?? 0);
  const candidates = others
    .filter((engine) => desk.mayGoFromMs(engine) <= desk.nowMs && eviction.mayGo(engine))
    .sort((a, b) => compare(eviction.rank(a), eviction.rank(b)) || compare(a.name, b.name));
  const victims: Victim[] = [];
  const staying = new Map(others.map((engine) => [engine, staysMib(engine, device)]));
  for (const engine of candidates) {
    if (roomMib(device, staying) >= neededMib) break;
    const how = alone || engine.phase === 'asleep' ? 'stop' : eviction.how(engine);
    victims.push({ engine, how });
    staying.set(engine, how === 'sleep' ? Math.min(engine.residueMib, engine.heldMib) : 0);
  }
  // Where what they would leave there asleep is needed as well, they stop.
  for (const victim of victims) {
    if (roomMib(device, staying) >= neededMib) break;
    victim.how = 'stop';
    staying.set(victim.engine, 0);
  }
  if (roomMib(device, staying) < neededMib) return null;
  const rank = Math.max(Number.NEGATIVE_INFINITY, ...victims.map(({ engine }) => eviction.rank(engine)));
  const isReady = !device.isMoving && others.every((engine) => engine.staysMib === engine.heldMib);
  return { device, victims, effort: victims.length > 0 ? 'eviction' : isReady ? 'none' : 'patience', rank };
}

function roomMib(device: PolicyDevice, staying: ReadonlyMap<ModelView, number>): number {
  let sumMib = device.budgetMib;
  for (const mib of staying.values()) sumMib -= mib;
  return sumMib;
}

/** Who has its devices to itself leaves no room at all until it goes. */
function staysMib(engine: ModelView, device: PolicyDevice): number {
  const isWhole = engine.memoryMib === null && engine.phase === 'awake';
  return isWhole ? Math.max(device.budgetMib, engine.staysMib) : engine.staysMib;
}

function compare<T extends string | number>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
