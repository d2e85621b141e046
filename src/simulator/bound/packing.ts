/**
 * How much of a device a model really takes. Sizes alone allow parts of models on a device; here sizes are raised as far
 * as every set of models that fits on one device still sums up to at most the device: a model of 22 of 23 GiB takes all of it.
 */

/** Sets to look through at most; beyond that sizes are left as they are. */
const SETS_MAX = 20_000;

export interface PackedSizes {
  /** Of each size given, as a share of the largest device; not below size / budget. */
  readonly weights: readonly number[];
  /** The most that all devices hold together of these weights. */
  readonly capacity: number;
}

/**
 * `sizesMib`: what the kinds of models take of a device. `budgetsMib`: of each device. Any set of models of which each device
 * holds a part that fits keeps `sum of weights <= capacity`, so it is a valid resource of the bound.
 * null: too many sets.
 */
export function packedSizes(sizesMib: readonly number[], budgetsMib: readonly number[]): PackedSizes | null {
  const budgetMib = Math.max(...budgetsMib);
  const sets = fullSets(sizesMib, budgetMib);
  if (sets === null) return null;
  const weights = sizesMib.map((mib) => mib / budgetMib);
  const largestFirst = sizesMib
    .map((_, kind) => kind)
    .sort((a, b) => (sizesMib[b] ?? 0) - (sizesMib[a] ?? 0));
  for (const kind of largestFirst) weights[kind] = raised(kind, weights, sets);
  let capacity = 0;
  for (const budget of budgetsMib) {
    // A smaller device holds the most that any set that fits there sums up to.
    const own = budget === budgetMib ? null : fullSets(sizesMib, budget);
    capacity += own === null ? 1 : Math.max(0, ...own.map((set) => weightOf(set, weights)));
  }
  return { weights, capacity };
}

/** The most that this kind may weigh while no set exceeds 1. */
function raised(kind: number, weights: readonly number[], sets: readonly (readonly number[])[]): number {
  let most = Number.POSITIVE_INFINITY;
  for (const set of sets) {
    const count = set[kind] ?? 0;
    if (count === 0) continue;
    const own = count * (weights[kind] ?? 0);
    most = Math.min(most, (1 - (weightOf(set, weights) - own)) / count);
  }
  const now = weights[kind] ?? 0;
  // Rounded down, so that the constraint holds for certain.
  return Number.isFinite(most) ? Math.max(now, most * (1 - 1e-12)) : now;
}

function weightOf(set: readonly number[], weights: readonly number[]): number {
  return set.reduce((sum, count, kind) => sum + count * (weights[kind] ?? 0), 0);
}

/** Counts of each kind that fit on one device together, with no room for one more of the last kind. */
function fullSets(sizesMib: readonly number[], budgetMib: number): readonly (readonly number[])[] | null {
  const sets: number[][] = [];
  const fill = (kind: number, leftMib: number, counts: readonly number[]): boolean => {
    const size = sizesMib[kind];
    if (size === undefined) return sets.push([...counts]) <= SETS_MAX;
    const most = size > 0 ? Math.floor(leftMib / size) : 0;
    const least = kind === sizesMib.length - 1 ? most : 0;
    for (let count = least; count <= most; count += 1) {
      if (!fill(kind + 1, leftMib - count * size, [...counts, count])) return false;
    }
    return true;
  };
  return fill(0, budgetMib, []) ? sets : null;
}
