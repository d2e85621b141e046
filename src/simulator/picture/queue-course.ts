/** How many requests of each model wait, on average over columns of equal width, which grows with the run. */
import type { ModelQueue } from './simulation-picture.ts';

const COLUMNS = 512;
const FIRST_WIDTH_MS = 10;
/** Beyond so many, models share one line. */
const MODELS_MAX = 1000;
const OTHERS = 'other models';

interface Line {
  readonly model: string;
  /** Waiting time that falls into each column. */
  readonly waitedMs: Float64Array;
  length: number;
  sinceMs: number;
}

export class QueueCourse {
  readonly #lines = new Map<string, Line>();
  #widthMs = FIRST_WIDTH_MS;

  get columnMs(): number {
    return this.#widthMs;
  }

  changed(model: string, difference: 1 | -1, nowMs: number): void {
    const line = this.#lineOf(model);
    this.#until(line, nowMs);
    line.length += difference;
  }

  queues(endMs: number): readonly ModelQueue[] {
    for (const line of this.#lines.values()) this.#until(line, endMs);
    const columns = Math.ceil(endMs / this.#widthMs);
    return [...this.#lines.values()].map(({ model, waitedMs }) => ({
      model,
      lengths: [...waitedMs.subarray(0, columns)].map((sum) => sum / this.#widthMs),
    }));
  }

  #lineOf(model: string): Line {
    const known = this.#lines.get(model);
    if (known !== undefined) return known;
    if (this.#lines.size >= MODELS_MAX && model !== OTHERS) return this.#lineOf(OTHERS);
    const line = { model, waitedMs: new Float64Array(COLUMNS), length: 0, sinceMs: 0 };
    this.#lines.set(model, line);
    return line;
  }

  #until(line: Line, nowMs: number): void {
    while (nowMs > COLUMNS * this.#widthMs) this.#widen();
    let atMs = line.sinceMs;
    line.sinceMs = nowMs;
    if (line.length === 0) return;
    while (atMs < nowMs) {
      const column = Math.floor(atMs / this.#widthMs);
      const toMs = Math.min(nowMs, (column + 1) * this.#widthMs);
      line.waitedMs[column] = (line.waitedMs[column] ?? 0) + line.length * (toMs - atMs);
      atMs = toMs;
    }
  }

  #widen(): void {
    this.#widthMs *= 2;
    for (const { waitedMs } of this.#lines.values()) {
      for (let column = 0; column < COLUMNS / 2; column += 1)
        waitedMs[column] = (waitedMs[2 * column] ?? 0) + (waitedMs[2 * column + 1] ?? 0);
      waitedMs.fill(0, COLUMNS / 2);
    }
  }
}
