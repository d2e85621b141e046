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
  /** What stands on the terminal's last line; null: nothing of ours. */
  #drawn: string | null = null;
  #writtenAtMs = Number.NEGATIVE_INFINITY;
  #before: { readonly atMs: number; readonly bytes: number; readonly total: number | null } | null = null;
  #bytesPerSecond: number | null = null;

  constructor(name: string, output: TextWriter, isTerminal: boolean, nowMs: () => number) {
    this.#name = name;
    this.#output = output;
    this.#isTerminal = isTerminal;
    this.#nowMs = nowMs;
  }

  update(progress: FetchProgress): void {
    const nowMs = this.#nowMs();
    this.#measure(progress, nowMs);
    if (this.#isTerminal) this.#draw(this.#line(progress));
    else if (nowMs - this.#writtenAtMs >= LINE_EVERY_MS) {
      this.#writtenAtMs = nowMs;
      this.#output.write(`${this.#line(progress)}\n`);
    }
  }

  /** What is done while there are no figures. */
  say(text: string): void {
    const line = `${this.#name}: ${text}`;
    if (this.#isTerminal) this.#draw(line);
    else this.#output.write(`${line}\n`);
  }

  /** A line that stays. */
  above(text: string): void {
    const drawn = this.#drawn;
    this.clear();
    this.#output.write(`${text}\n`);
    if (drawn !== null) this.#draw(drawn);
  }

  /** Before anything else is written. */
  clear(): void {
    if (this.#drawn !== null) this.#output.write(CLEAR_LINE);
    this.#drawn = null;
  }

  #draw(line: string): void {
    this.#output.write(`${CLEAR_LINE}${line}`);
    this.#drawn = line;
  }

  #measure({ bytesDone: bytes, bytesTotal: total }: FetchProgress, nowMs: number): void {
    const before = this.#before;
    // Further files have become known, and with them what of them was there already: that is no speed.
    const isSame = before !== null && before.total === total;
    // Neither are figures a moment apart.
    if (isSame && nowMs - before.atMs < 200) return;
    this.#before = { atMs: nowMs, bytes, total };
    if (!isSame || bytes < before.bytes) return;
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
