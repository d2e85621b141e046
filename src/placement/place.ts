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
  readonly lossMs: number;
}

export interface DeviceView {
  readonly id: string;
  readonly pool: string | null;
  readonly budgetMib: number;
  readonly reservedMib: number;
  /** Part of `reservedMib` whose engines are on their way out. */
  readonly leavingMib: number;
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
      /** When the last victim may go. */
      readonly inMs: number;
    }
  | { readonly kind: 'blocked'; readonly why: string }
  | { readonly kind: 'never'; readonly why: string };

interface DeviceOption {
  readonly device: DeviceView;
  readonly needMib: number;
  readonly victims: readonly string[];
  readonly inMs: number;
  readonly lossMs: number;
}

/** Memory that the need asks of this device. */
function needOn(need: PlacementNeed, device: DeviceView): number {
  return need.memoryMibPerDevice ?? device.budgetMib;
}

export function place(need: PlacementNeed, devices: readonly DeviceView[]): Placement {
  const inPool = devices.filter((device) => need.pool === null || device.pool === need.pool);
  const feasible = inPool.filter(
    (device) => device.budgetMib > 0 && needOn(need, device) <= device.budgetMib,
  );
  if (feasible.length < need.deviceCount) return { kind: 'never', why: neverReason(need, inPool) };

  const free = feasible
    .filter((device) => !device.held && !device.moving && hasRoom(need, device))
    .sort((a, b) => freeMib(a) - freeMib(b) || compare(a.id, b.id));
  if (free.length >= need.deviceCount) {
    const chosen = free.slice(0, need.deviceCount);
    return {
      kind: 'free',
      deviceIds: chosen.map((device) => device.id),
      memoryMibPerDevice: Math.min(...chosen.map((device) => needOn(need, device))),
    };
  }

  const options = feasible
    .filter((device) => !device.held)
    .map((device) => option(need, device))
    .filter((candidate) => candidate !== null)
    .sort((a, b) => a.inMs - b.inMs || a.lossMs - b.lossMs || compare(a.device.id, b.device.id));
  if (options.length < need.deviceCount) return { kind: 'blocked', why: blockedReason(feasible) };
  const chosen = options.slice(0, need.deviceCount);
  return {
    kind: 'evict',
    deviceIds: chosen.map((candidate) => candidate.device.id),
    victims: [...new Set(chosen.flatMap((candidate) => candidate.victims))],
    inMs: Math.max(...chosen.map((candidate) => candidate.inMs)),
  };
}

function freeMib(device: DeviceView): number {
  return device.budgetMib - device.reservedMib;
}

function hasRoom(need: PlacementNeed, device: DeviceView): boolean {
  return freeMib(device) >= needOn(need, device);
}

/** How room could be made on one device: with engines that may go now if they suffice, else with the soonest others. */
function option(need: PlacementNeed, device: DeviceView): DeviceOption | null {
  const needMib = needOn(need, device);
  const missingMib = needMib - freeMib(device) - device.leavingMib;
  const movable = device.residents.filter((resident) => resident.yieldsInMs < Number.POSITIVE_INFINITY);
  const times = [...new Set([0, ...movable.map((resident) => resident.yieldsInMs)])].sort((a, b) => a - b);
  for (const inMs of times) {
    const candidates: VictimCandidate[] = movable
      .filter((resident) => resident.yieldsInMs <= inMs)
      .map((resident) => ({ name: resident.model, memoryMib: resident.memoryMib, cost: resident.lossMs }));
    const victims = cheapestVictims(candidates, missingMib);
    if (victims === null) continue;
    const lossMs = victims.reduce((sum, victim) => sum + victim.cost, 0);
    return { device, needMib, victims: victims.map((victim) => victim.name), inMs, lossMs };
  }
  return null;
}

function neverReason(need: PlacementNeed, inPool: readonly DeviceView[]): string {
  const where = need.pool === null ? 'the devices' : `pool ${need.pool}`;
  const wanted = need.memoryMibPerDevice === null ? 'the whole budget' : `${need.memoryMibPerDevice} MiB`;
  const budgets = inPool.map((device) => `${device.id} ${device.budgetMib} MiB`).join(', ');
  return `it needs ${wanted} on ${need.deviceCount} device(s), and ${where} offer ${budgets === '' ? 'none' : budgets}`;
}

function blockedReason(feasible: readonly DeviceView[]): string {
  const held = feasible.filter((device) => device.held).length;
  return held > 0
    ? `${held} of ${feasible.length} possible devices are set aside for models ahead of it`
    : 'every possible device is taken by engines that never give way';
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
