/** Straight lines through samples: whether memory is flat. */

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Line {
  readonly slope: number;
  readonly at0: number;
}

/** Least squares. Null for fewer than two different places. */
export function lineThrough(points: readonly Point[]): Line | null {
  const count = points.length;
  const meanX = points.reduce((sum, { x }) => sum + x, 0) / count;
  const meanY = points.reduce((sum, { y }) => sum + y, 0) / count;
  const spread = points.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0);
  if (count < 2 || spread === 0) return null;
  const slope = points.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0) / spread;
  return { slope, at0: meanY - slope * meanX };
}

/** The lowest of each `size` that follow one another: a heap just after its collection. */
export function lowest(points: readonly Point[], size: number): readonly Point[] {
  const found: Point[] = [];
  for (let at = 0; at + size <= points.length; at += size) {
    found.push(points.slice(at, at + size).reduce((least, point) => (point.y < least.y ? point : least)));
  }
  return found;
}
