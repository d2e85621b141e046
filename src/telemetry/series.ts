/**
 * Counters and histograms that cost a few array writes per observation. prom-client hashes its label objects on every
 * one, which is too dear for what every request pays; its registry only asks for the values at a scrape.
 */
import type { MetricObjectWithValues, MetricValue } from 'prom-client';

type Labels = Readonly<Record<string, string>>;

interface Scrapable {
  readonly name: string;
  get(): Promise<MetricObjectWithValues<MetricValue<string>>>;
}

export class CounterSeries implements Scrapable {
  readonly name: string;
  readonly #help: string;
  readonly #cells = new Map<string, { readonly labels: Labels; value: number }>();

  constructor(name: string, help: string) {
    this.name = name;
    this.#help = help;
  }

  /** The cell of these labels, to be kept by whoever counts often. */
  cell(labels: Labels): { value: number } {
    const key = Object.values(labels).join('\0');
    let cell = this.#cells.get(key);
    if (cell === undefined) {
      cell = { labels, value: 0 };
      this.#cells.set(key, cell);
    }
    return cell;
  }

  async get(): Promise<MetricObjectWithValues<MetricValue<string>>> {
    const values = [...this.#cells.values()].map(({ labels, value }) => ({ labels: { ...labels }, value }));
    return { name: this.name, help: this.#help, type: 'counter', aggregator: 'sum', values } as never;
  }
}

export class HistogramCell {
  readonly counts: Float64Array;
  readonly #bounds: readonly number[];
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    let index = 0;
    for (const bound of this.#bounds) {
      if (value <= bound) break;
      index += 1;
    }
    this.counts[index] = (this.counts[index] ?? 0) + 1;
    this.sum += value;
  }
}

export class HistogramSeries implements Scrapable {
  readonly name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];
  readonly #cells = new Map<string, { readonly labels: Labels; readonly cell: HistogramCell }>();

  constructor(name: string, help: string, bounds: readonly number[]) {
    this.name = name;
    this.#help = help;
    this.#bounds = bounds;
  }

  cell(labels: Labels): HistogramCell {
    const key = Object.values(labels).join('\0');
    let entry = this.#cells.get(key);
    if (entry === undefined) {
      entry = { labels, cell: new HistogramCell(this.#bounds) };
      this.#cells.set(key, entry);
    }
    return entry.cell;
  }

  async get(): Promise<MetricObjectWithValues<MetricValue<string>>> {
    const values = [];
    for (const { labels, cell } of this.#cells.values()) {
      let below = 0;
      for (const [index, count] of cell.counts.entries()) {
        below += count;
        const le = this.#bounds[index] ?? '+Inf';
        values.push({ labels: { ...labels, le }, value: below, metricName: `${this.name}_bucket` });
      }
      values.push({ labels: { ...labels }, value: cell.sum, metricName: `${this.name}_sum` });
      values.push({ labels: { ...labels }, value: below, metricName: `${this.name}_count` });
    }
    return { name: this.name, help: this.#help, type: 'histogram', aggregator: 'sum', values } as never;
  }
}
