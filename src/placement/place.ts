/**
 * Where a model may go: pure, over a view of the devices that the scheduler makes for the occasion.
 *  1. Devices of its pool whose budget could ever hold it; too few of them: never, with the numbers.
 *  2. Enough of them with room now and no move under way: free.
 *  3. Otherwise the set of devices on which room is had soonest, then at the least loss: evict.
 *  4. No such set at present (devices held for others, always-on engines): blocked.
 */
import { cheapestVictims, type VictimCandidate } from './victims.ts';

export interface PlacementNeed {
  readonly deviceCount: number;
  readonly pool: string | null;
  /** Null: the whole budget of each device. */
  readonly memoryMibPerDevice: number | null;
}

export interface ResidentView {
  readonly model: string;
  readonly memoryMib: number;
  /** 0: may go now; later: when its turn ends; Infinity: never. */
  readonly yieldsInMs: number;
  /** Time that its own stop takes: memory that is leaving already comes sooner than that of a new victim. */
  readonly stopMs: number;
  readonly lossMs: number;
}

/** Memory whose engine is on its way out already: nobody needs to ask for it. */
export interface LeavingView {
  readonly memoryMib: number;
  /** When it is expected back; Infinity: its stop could not be verified. */
  readonly inMs: number;
}

export interface DeviceView {
  readonly id: string;
  readonly pool: string | null;
  readonly totalMib: number;
  readonly budgetMib: number;
  /** The part of the budget that foreign programs leave at present. */
  readonly availableMib: number;
  readonly reservedMib: number;
  /** Parts of `reservedMib`. */
  readonly leaving: readonly LeavingView[];
  /** An engine starts or stops on it. */
  readonly moving: boolean;
  /** Set aside for another model. */
  readonly held: boolean;
  /** Engines that may be asked to go (not those that leave already). */
  readonly residents: readonly ResidentView[];
}

export type Placement =
  | { readonly kind: 'free'; readonly deviceIds: readonly string[]; readonly memoryMibPerDevice: number }
  | {
      readonly kind: 'evict';
      readonly deviceIds: readonly string[];
      readonly victims: readonly string[];
      /** When the last victim may be asked to go. */
      readonly victimsInMs: number;
      /** When the room is expected, the victims' own stops included. */
      readonly inMs: number;
    }
  | { readonly kind: 'blocked'; readonly why: string }
  | { readonly kind: 'never'; readonly why: string };

interface DeviceOption {
  readonly device: DeviceView;
  readonly victims: readonly string[];
  readonly victimsInMs: number;
  readonly inMs: number;
  readonly lossMs: number;
}

/** A whole device of which foreign programs leave less than this share of the budget is not taken for whole. */
const WHOLE_SHARE_MIN = 0.5;

/** Memory that the need asks of this device: a whole one is as large as foreign programs leave it. */
function needOn(need: PlacementNeed, device: DeviceView): number {
  if (need.memoryMibPerDevice !== null) return need.memoryMibPerDevice;
  return Math.max(device.availableMib, WHOLE_SHARE_MIN * device.budgetMib);
}

export function place(need: PlacementNeed, devices: readonly DeviceView[]): Placement {
  const inPool = devices.filter((device) => need.pool === null || device.pool === need.pool);
  const feasible = inPool.filter(
    (device) => device.budgetMib > 0 && needOn(need, device) <= device.budgetMib,
  );
  const groups = equalDevices(need, feasible);
  if (groups.length === 0) return { kind: 'never', why: neverReason(need, inPool) };
  const placements = groups.map((group) => placeInGroup(need, group));
  const free = placements.find((placement) => placement.kind === 'free');
  if (free !== undefined) return free;
  const evictions = placements.filter((placement) => placement.kind === 'evict');
  const soonest = evictions.reduce<Placement | null>(
    (best, next) => (best?.kind === 'evict' && best.inMs <= next.inMs ? best : next),
    null,
  );
  return soonest ?? { kind: 'blocked', why: blockedReason(feasible) };
}

/** An engine on several devices takes the same share of each, so only devices of one size go together. */
function equalDevices(
  need: PlacementNeed,
  feasible: readonly DeviceView[],
): readonly (readonly DeviceView[])[] {
  if (need.deviceCount === 1) return feasible.length === 0 ? [] : [feasible];
  const sizes = [...new Set(feasible.map((device) => device.totalMib))].sort((a, b) => a - b);
  return sizes
    .map((totalMib) => feasible.filter((device) => device.totalMib === totalMib))
    .filter((group) => group.length >= need.deviceCount);
}

function placeInGroup(need: PlacementNeed, group: readonly DeviceView[]): Placement {
  const free = group
    .filter((device) => !device.held && !device.moving && freeMib(device) >= needOn(need, device))
    .sort((a, b) => freeMib(a) - freeMib(b) || compare(a.id, b.id));
  if (free.length >= need.deviceCount) {
    const chosen = free.slice(0, need.deviceCount);
    return {
      kind: 'free',
      deviceIds: chosen.map((device) => device.id),
      memoryMibPerDevice: Math.min(...chosen.map((device) => needOn(need, device))),
    };
  }
  const options = group
    .filter((device) => !device.held)
    .map((device) => option(need, device))
    .filter((candidate) => candidate !== null)
    .sort((a, b) => a.inMs - b.inMs || a.lossMs - b.lossMs || compare(a.device.id, b.device.id));
  if (options.length < need.deviceCount) return { kind: 'blocked', why: blockedReason(group) };
  const chosen = options.slice(0, need.deviceCount);
  return {
    kind: 'evict',
    deviceIds: chosen.map((candidate) => candidate.device.id),
    victims: [...new Set(chosen.flatMap((candidate) => candidate.victims))],
    victimsInMs: Math.max(...chosen.map((candidate) => candidate.victimsInMs)),
    inMs: Math.max(...chosen.map((candidate) => candidate.inMs)),
  };
}

function freeMib(device: DeviceView): number {
  return device.availableMib - device.reservedMib;
}

/** How room is had on one device: at the earliest time at which what leaves and who may then be asked suffice. */
function option(need: PlacementNeed, device: DeviceView): DeviceOption | null {
  const missingMib = needOn(need, device) - freeMib(device);
  const times = [
    0,
    ...device.leaving.map((leaving) => leaving.inMs),
    ...device.residents.map((resident) => resident.yieldsInMs + resident.stopMs),
  ];
  for (const inMs of [...new Set(times)].sort((a, b) => a - b)) {
    if (inMs === Number.POSITIVE_INFINITY) return null;
    const leavingMib = device.leaving.reduce(
      (sum, part) => (part.inMs <= inMs ? sum + part.memoryMib : sum),
      0,
    );
    const candidates: VictimCandidate[] = device.residents
      .filter((resident) => resident.yieldsInMs + resident.stopMs <= inMs)
      .map((resident) => ({ name: resident.model, memoryMib: resident.memoryMib, cost: resident.lossMs }));
    const chosen = cheapestVictims(candidates, missingMib - leavingMib);
    if (chosen === null) continue;
    const victims = chosen.map((victim) => victim.name);
    const asked = device.residents.filter((resident) => victims.includes(resident.model));
    return {
      device,
      victims,
      victimsInMs: Math.max(0, ...asked.map((resident) => resident.yieldsInMs)),
      inMs,
      lossMs: chosen.reduce((sum, victim) => sum + victim.cost, 0),
    };
  }
  return null;
}

function neverReason(need: PlacementNeed, inPool: readonly DeviceView[]): string {
  const where = need.pool === null ? 'the devices' : `pool ${need.pool}`;
  const wanted = need.memoryMibPerDevice === null ? 'the whole budget' : `${need.memoryMibPerDevice} MiB`;
  const budgets = inPool.map((device) => `${device.id} ${device.budgetMib} MiB`).join(', ');
  const alike = need.deviceCount > 1 ? ' of one size' : '';
  return `it needs ${wanted} on ${need.deviceCount} device(s)${alike}, and ${where} offer ${budgets === '' ? 'none' : budgets}`;
}

function blockedReason(feasible: readonly DeviceView[]): string {
  const held = feasible.filter((device) => device.held).length;
  const foreignMib = feasible.reduce((sum, device) => sum + device.budgetMib - device.availableMib, 0);
  if (held === 0 && foreignMib > 0) {
    return `programs that are not ours take ${foreignMib} MiB of the budget of the possible devices`;
  }
  return held > 0
    ? `${held} of ${feasible.length} possible devices are set aside for models ahead of it`
    : 'every possible device is taken by engines that never give way';
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
