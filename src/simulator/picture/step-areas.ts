/** Stacked areas whose height changes in steps: the paths of a lane and of the queues. */

export interface AreaPart {
  /** Parts of the same key are one path. */
  readonly key: string;
  readonly height: number;
}

/** Parts between two places, stacked from the bottom up. */
export interface AreaColumn {
  readonly fromX: number;
  readonly toX: number;
  readonly parts: readonly AreaPart[];
}

type Point = readonly [x: number, y: number];

interface OpenArea {
  readonly upper: Point[];
  readonly lower: Point[];
  toX: number;
  topY: number;
  bottomY: number;
}

/** The path of each key in the order of their first appearance; `bottomY` is where heights begin, and y grows downwards. */
export function stepAreas(columns: Iterable<AreaColumn>, bottomY: number): ReadonlyMap<string, string> {
  const paths = new Map<string, string[]>();
  const open = new Map<string, OpenArea>();
  const close = (key: string, area: OpenArea) => {
    open.delete(key);
    const path = paths.get(key) ?? [];
    const end: readonly Point[] = [
      [area.toX, area.topY],
      [area.toX, area.bottomY],
    ];
    path.push(outline([...area.upper, ...end, ...area.lower.toReversed()]));
    paths.set(key, path);
  };
  for (const { fromX, toX, parts } of columns) {
    const seen = new Set<string>();
    let y = bottomY;
    for (const { key, height } of parts) {
      const top = y - height;
      seen.add(key);
      if (!paths.has(key)) paths.set(key, []);
      extend(open, key, { fromX, toX, topY: top, bottomY: y }, close);
      y = top;
    }
    for (const [key, area] of open) if (!seen.has(key)) close(key, area);
  }
  for (const [key, area] of open) close(key, area);
  return new Map([...paths].map(([key, parts]) => [key, parts.join('')]));
}

interface AreaStep {
  readonly fromX: number;
  readonly toX: number;
  readonly topY: number;
  readonly bottomY: number;
}

function extend(
  open: Map<string, OpenArea>,
  key: string,
  { fromX, toX, topY, bottomY }: AreaStep,
  close: (key: string, area: OpenArea) => void,
): void {
  const before = open.get(key);
  // What does not touch would be joined by a sliver.
  const touches =
    before !== undefined && before.toX >= fromX && topY < before.bottomY && bottomY > before.topY;
  if (before !== undefined && !touches) close(key, before);
  const area = touches ? before : { upper: [], lower: [], toX, topY: Number.NaN, bottomY: Number.NaN };
  if (area.topY !== topY || area.bottomY !== bottomY) {
    if (touches) {
      area.upper.push([fromX, area.topY]);
      area.lower.push([fromX, area.bottomY]);
    }
    area.upper.push([fromX, topY]);
    area.lower.push([fromX, bottomY]);
  }
  area.toX = toX;
  area.topY = topY;
  area.bottomY = bottomY;
  open.set(key, area);
}

/** A closed path; lines along an axis, which most are, in their short form. */
function outline(points: readonly Point[]): string {
  let text = '';
  let lastX = '';
  let lastY = '';
  for (const [x, y] of points) {
    const [atX, atY] = [short(x), short(y)];
    if (text === '') text = `M${atX} ${atY}`;
    else if (atX !== lastX && atY !== lastY) text += `L${atX} ${atY}`;
    else if (atX !== lastX) text += `H${atX}`;
    else if (atY !== lastY) text += `V${atY}`;
    lastX = atX;
    lastY = atY;
  }
  return `${text}Z`;
}

/** A tenth of a point is finer than any screen shows. */
export function short(value: number): string {
  return String(Math.round(value * 10) / 10);
}
