/**
 * Engines whose loss is about the same are told apart by their last use: measured costs of equal models differ by chance, and
 * the one that was used a moment ago is the likelier one to be asked for again.
 * All engines are grouped by their loss once, however many questions there are: about those of some devices, and with one
 * left out, who is to be brought up himself. As long as no loss changes, their views may.
 */
import { assert } from '../core/assert.ts';
import type { ResidentView } from '../placement/place.ts';

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

export class EvenedLosses {
  readonly #residents: readonly UsedResident[];
  readonly #groups: Group[] = [];
  /** By name. */
  readonly #groupOf = new Map<string, number>();

  /** Equal ones are told apart by their order here. */
  constructor(residents: readonly UsedResident[]) {
    this.#residents = residents;
    let group: Group | null = null;
    for (const resident of residents.toSorted((a, b) => lossOf(a.view) - lossOf(b.view))) {
      const lossMs = lossOf(resident.view);
      if (group === null || lossMs > SAME_FACTOR * group.leastMs) {
        group = { leastMs: lossMs, members: [], byUse: null };
        this.#groups.push(group);
      }
      group.members.push(resident);
      this.#groupOf.set(resident.view.model, this.#groups.length - 1);
    }
  }

  /** The views of some of them in the order of use, with losses of one group made even but for that order. */
  of(some: readonly UsedResident[]): readonly ResidentView[] {
    return this.#of(some, null);
  }

  /** Without one of them. Mostly no group changes but its own, and that only in the places after it. */
  without(left: UsedResident): LossOrder {
    const group = this.#groups[this.#groupOf.get(left.view.model) ?? -1];
    assert(group !== undefined, `the loss of ${left.view.model} was not looked at`);
    const [first, second] = group.members;
    if (
      first === undefined ||
      !isSame(first, left) ||
      second === undefined ||
      lossOf(second.view) === group.leastMs
    )
      return { of: (some) => this.#of(some, left) };
    return new EvenedLosses(this.#residents.filter((resident) => !isSame(resident, left)));
  }

  #of(some: readonly UsedResident[], left: UsedResident | null): readonly ResidentView[] {
    const placed: { resident: UsedResident; group: number; place: number }[] = [];
    for (const resident of some) {
      if (left !== null && isSame(resident, left)) continue;
      const group = this.#groupOf.get(resident.view.model) ?? -1;
      placed.push({ resident, group, place: this.#placeOf(resident, group, left) });
    }
    placed.sort((a, b) => a.group - b.group || a.place - b.place);
    return placed.map(({ resident, group, place }) =>
      scaled(resident.view, (this.#groups[group]?.leastMs ?? 0) * (1 + ORDER_STEP * place)),
    );
  }

  #placeOf(resident: UsedResident, index: number, left: UsedResident | null): number {
    const group = this.#groups[index];
    assert(group !== undefined, `the loss of ${resident.view.model} was not looked at`);
    group.byUse ??= group.members.toSorted((a, b) => a.lastUseMs - b.lastUseMs);
    const place = placeIn(group.byUse, resident);
    const leftPlace = left === null ? -1 : placeIn(group.byUse, left);
    return leftPlace >= 0 && leftPlace < place ? place - 1 : place;
  }
}

export type LossOrder = Pick<EvenedLosses, 'of'>;

function isSame(a: UsedResident, b: UsedResident): boolean {
  return a.view.model === b.view.model;
}

function placeIn(list: readonly UsedResident[], resident: UsedResident): number {
  return list.findIndex((other) => isSame(other, resident));
}

/** Of being stopped: every resident has that way. */
function lossOf(view: ResidentView): number {
  return view.ways.at(-1)?.lossMs ?? 0;
}

function scaled(view: ResidentView, lossMs: number): ResidentView {
  const before = lossOf(view);
  if (before === 0 || before === lossMs) return view;
  const ways = view.ways.map((way) => ({ ...way, lossMs: (way.lossMs * lossMs) / before }));
  return { ...view, ways };
}
