/** Marks of an axis at round figures. */

export interface Tick {
  readonly value: number;
  readonly label: string;
}

const S = 1000;
const MIN = 60 * S;
const H = 60 * MIN;
const DAY = 24 * H;
const TIME_STEPS = [
  S,
  2 * S,
  5 * S,
  10 * S,
  15 * S,
  30 * S,
  MIN,
  2 * MIN,
  5 * MIN,
  10 * MIN,
  15 * MIN,
  30 * MIN,
  H,
  2 * H,
  3 * H,
  6 * H,
  12 * H,
  DAY,
  2 * DAY,
  7 * DAY,
  30 * DAY,
] as const;
const TICKS_MAX = 13;

/** From 0 to `endMs`, as minutes:seconds, hours:minutes, or days. */
export function timeTicks(endMs: number): readonly Tick[] {
  const step = TIME_STEPS.find((candidate) => endMs / candidate <= TICKS_MAX) ?? endMs;
  const count = Math.floor(endMs / step + 1e-9) + 1;
  return Array.from({ length: count }, (_, index) => ({
    value: index * step,
    label: timeLabel(index * step, step, endMs),
  }));
}

/** What the labels of `timeTicks` mean. */
export function timeUnit(endMs: number): string {
  if (endMs > TICKS_MAX * 12 * H) return 'days';
  return endMs > H ? 'h:min' : 'min:s';
}

/** From 0 to at least `most`, a few. */
export function countTicks(most: number): readonly Tick[] {
  const step = roundStep(Math.max(1, most) / 3);
  const count = Math.ceil(Math.max(1, most) / step) + 1;
  return Array.from({ length: count }, (_, index) => ({
    value: index * step,
    label: countLabel(index * step),
  }));
}

function timeLabel(ms: number, step: number, endMs: number): string {
  if (timeUnit(endMs) === 'days') return `${Number((ms / DAY).toFixed(2))} d`;
  const isLong = endMs > H && step >= MIN;
  const [large, small] = isLong ? [H, MIN] : [MIN, S];
  return `${Math.floor(ms / large)}:${String(Math.round((ms % large) / small)).padStart(2, '0')}`;
}

/** 1, 2 or 5 times a power of ten, and at least 1. */
function roundStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return power * ([1, 2, 5].find((factor) => factor * power >= least) ?? 10);
}

function countLabel(count: number): string {
  return count >= 10_000 ? `${count / 1000}k` : String(count);
}
