/**
 * Engines whose loss is about the same are told apart by their last use: measured costs of equal models differ by chance, and
 * the one that was used a moment ago is the likelier one to be asked for again.
 */
import type { ResidentView } from '../placement/place.ts';

/** Losses within this factor are about the same. */
const SAME_FACTOR = 1.25;
/** What one place in the order of use weighs. */
const ORDER_STEP = 0.001;

export interface UsedResident {
  readonly view: ResidentView;
  readonly lastUseMs: number;
}

/** The views in the order of use, with losses of one group made even but for that order. */
export function evenLosses(residents: readonly UsedResident[]): ResidentView[] {
  const byLoss = residents.toSorted((a, b) => lossOf(a.view) - lossOf(b.view));
  const result: ResidentView[] = [];
  let group: UsedResident[] = [];
  const close = (): void => {
    const [first] = group;
    if (first === undefined) return;
    const leastMs = lossOf(first.view);
    for (const [place, { view }] of group.toSorted((a, b) => a.lastUseMs - b.lastUseMs).entries())
      result.push(scaled(view, leastMs * (1 + ORDER_STEP * place)));
    group = [];
  };
  for (const resident of byLoss) {
    const [first] = group;
    if (first !== undefined && lossOf(resident.view) > SAME_FACTOR * lossOf(first.view)) close();
    group.push(resident);
  }
  close();
  return result;
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
