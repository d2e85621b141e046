/**
 * Engines whose loss is about the same are told apart by their last use: measured costs of equal models differ by chance, and
 * the one that was used a moment ago is the likelier one to be asked for again.
 * That holds for each way of going by itself: who sleeps loses a waking, who stops a start.
 * All engines are grouped by their loss once, however many questions there are: about those of some devices, and with one
 * left out, who is to be brought up himself. As long as no loss changes, their views may.
 */
import { assert } from '../core/assert.ts';
import type { ResidentView, WayOut } from '../placement/place.ts';

/** Losses within this factor are about the same. */
const SAME_FACTOR = 1.25;
/** What one place in the order of use weighs. */
const ORDER_STEP = 0.001;

export interface UsedResident {
  readonly view: ResidentView;
  readonly lastUseMs: number;
}

interface Group {
  readonly leastMs: number;
  /** In the order of losses. */
  readonly members: UsedResident[];
  /** In the order of use; null: nobody has asked yet. */
  byUse: readonly UsedResident[] | null;
}

type How = WayOut['how'];

export class EvenedLosses {
  readonly #residents: readonly UsedResident[];
  readonly #stops: LossGroups;
  readonly #sleeps: LossGroups;

  /** Equal ones are told apart by their order here. */
  constructor(residents: readonly UsedResident[]) {
    this.#residents = residents;
    this.#stops = new LossGroups(residents, 'stop');
    this.#sleeps = new LossGroups(residents, 'sleep');
  }

  /** The views of some of them in the order of use, with losses of one group made even but for that order. */
  of(some: readonly UsedResident[]): readonly ResidentView[] {
    return this.#of(some, null);
  }

  /** Without one of them. Mostly no group changes but its own, and that only in the places after it. */
  without(left: UsedResident): LossOrder {
    if (this.#stops.standsWithout(left) && this.#sleeps.standsWithout(left))
      return { of: (some) => this.#of(some, left) };
    return new EvenedLosses(this.#residents.filter((resident) => !isSame(resident, left)));
  }

  #of(some: readonly UsedResident[], left: UsedResident | null): readonly ResidentView[] {
    const placed: { view: ResidentView; stopMs: number }[] = [];
    for (const resident of some) {
      if (left !== null && isSame(resident, left)) continue;
      const stopMs = this.#stops.lossMs(resident, left);
      placed.push({ view: this.#evened(resident, stopMs, left), stopMs });
    }
    placed.sort((a, b) => a.stopMs - b.stopMs);
    return placed.map(({ view }) => view);
  }

  #evened(resident: UsedResident, stopMs: number, left: UsedResident | null): ResidentView {
    const { view } = resident;
    const ways = view.ways.map((way) => {
      const lossMs = way.how === 'stop' ? stopMs : this.#sleeps.lossMs(resident, left);
      return lossMs === way.lossMs ? way : { ...way, lossMs };
    });
    return ways.every((way, index) => way === view.ways[index]) ? view : { ...view, ways };
  }
}

export type LossOrder = Pick<EvenedLosses, 'of'>;

/** Those who can go in one way, by what that loses. */
class LossGroups {
  readonly #how: How;
  /** By name. */
  readonly #groupOf = new Map<string, Group>();

  constructor(residents: readonly UsedResident[], how: How) {
    this.#how = how;
    const able: { readonly resident: UsedResident; readonly lossMs: number }[] = [];
    for (const resident of residents) {
      const lossMs = lossBy(resident.view, how);
      if (lossMs !== null) able.push({ resident, lossMs });
    }
    able.sort((a, b) => a.lossMs - b.lossMs);
    let group: Group | null = null;
    for (const { resident, lossMs } of able) {
      if (group === null || lossMs > SAME_FACTOR * group.leastMs) {
        group = { leastMs: lossMs, members: [], byUse: null };
      }
      group.members.push(resident);
      this.#groupOf.set(resident.view.model, group);
    }
  }

  /** Does no group's least loss change without it? */
  standsWithout(left: UsedResident): boolean {
    const group = this.#groupOf.get(left.view.model);
    if (group === undefined) return true;
    const [first, second] = group.members;
    if (first === undefined || !isSame(first, left)) return true;
    return second !== undefined && lossBy(second.view, this.#how) === group.leastMs;
  }

  /** `left`: who is thought away. */
  lossMs(resident: UsedResident, left: UsedResident | null): number {
    const group = this.#groupOf.get(resident.view.model);
    assert(group !== undefined, `the loss of ${resident.view.model} was not looked at`);
    group.byUse ??= group.members.toSorted((a, b) => a.lastUseMs - b.lastUseMs);
    const place = placeIn(group.byUse, resident);
    const leftPlace = left === null ? -1 : placeIn(group.byUse, left);
    const counted = leftPlace >= 0 && leftPlace < place ? place - 1 : place;
    return group.leastMs * (1 + ORDER_STEP * counted);
  }
}

function isSame(a: UsedResident, b: UsedResident): boolean {
  return a.view.model === b.view.model;
}

function placeIn(list: readonly UsedResident[], resident: UsedResident): number {
  return list.findIndex((other) => isSame(other, resident));
}

/** Null: it cannot go in that way. */
function lossBy(view: ResidentView, how: How): number | null {
  return view.ways.find((way) => way.how === how)?.lossMs ?? null;
}
