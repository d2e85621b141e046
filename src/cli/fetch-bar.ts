/** A fetch's progress for people: a bar that is drawn over itself on a terminal, else a line every few seconds. */
import { byteText } from '../weights/byte-text.ts';
import type { FetchProgress } from '../weights/fetcher.ts';
import type { TextWriter } from './check.ts';
import { duration } from './text-layout.ts';

const BAR_CELLS = 24;
const LINE_EVERY_MS = 5_000;
/** Share of the newest figure in the speed that is shown. */
const SPEED_WEIGHT = 0.2;
const CLEAR_LINE = '\r\u001b[2K';

export class FetchBar {
  readonly #name: string;
  readonly #output: TextWriter;
  readonly #isTerminal: boolean;
  readonly #nowMs: () => number;
  #isDrawn = false;
  #writtenAtMs = Number.NEGATIVE_INFINITY;
  #before: { readonly atMs: number; readonly bytes: number } | null = null;
  #bytesPerSecond: number | null = null;

  constructor(name: string, output: TextWriter, isTerminal: boolean, nowMs: () => number) {
    this.#name = name;
    this.#output = output;
    this.#isTerminal = isTerminal;
    this.#nowMs = nowMs;
  }

  update(progress: FetchProgress): void {
    const nowMs = this.#nowMs();
    this.#measure(progress.bytesDone, nowMs);
    if (this.#isTerminal) {
      this.#output.write(`${CLEAR_LINE}${this.#line(progress)}`);
      this.#isDrawn = true;
    } else if (nowMs - this.#writtenAtMs >= LINE_EVERY_MS) {
      this.#writtenAtMs = nowMs;
      this.#output.write(`${this.#line(progress)}\n`);
    }
  }

  /** Before anything else is written. */
  clear(): void {
    if (this.#isDrawn) this.#output.write(CLEAR_LINE);
    this.#isDrawn = false;
  }

  #measure(bytes: number, nowMs: number): void {
    const before = this.#before;
    // Files that were there already are no speed; neither are figures a moment apart.
    if (before !== null && nowMs - before.atMs < 200) return;
    this.#before = { atMs: nowMs, bytes };
    if (before === null || bytes < before.bytes) return;
    const newest = ((bytes - before.bytes) * 1000) / (nowMs - before.atMs);
    const last = this.#bytesPerSecond ?? newest;
    this.#bytesPerSecond = last + (newest - last) * SPEED_WEIGHT;
  }

  #line({ bytesDone, bytesTotal, file }: FetchProgress): string {
    if (bytesTotal === null || bytesTotal === 0) return `${this.#name}: ${byteText(bytesDone)}  ${file}`;
    const share = Math.min(1, bytesDone / bytesTotal);
    const full = Math.floor(share * BAR_CELLS);
    const bar = this.#isTerminal ? `[${'#'.repeat(full)}${'-'.repeat(BAR_CELLS - full)}] ` : '';
    const percent = String(Math.floor(share * 100)).padStart(3);
    const speed = this.#bytesPerSecond;
    const rate = speed === null ? '' : `, ${byteText(Math.round(speed))}/s`;
    const left =
      speed === null || speed < 1 || share === 1
        ? ''
        : `, ${duration(((bytesTotal - bytesDone) / speed) * 1000)} left`;
    return `${this.#name}: ${bar}${percent} % of ${byteText(bytesTotal)}${rate}${left}`;
  }
}
