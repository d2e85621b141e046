/**
 * What a decision of the scheduler costs, at three sizes, in steady state: time by kind of event, the share of decisions that
 * look at all models again, and how the mean grows; and what a waiting request takes of memory. Times are wall time: where the
 * process does not have a core to itself they are as much too long as is printed.
 *
 *   npm run bench:scheduler
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { FleetSize } from './fleet.ts';
import { FleetRun } from './fleet-run.ts';

const SIZES: readonly FleetSize[] = [
  { models: 10, devices: 1, waiting: 1_000 },
  { models: 100, devices: 8, waiting: 10_000 },
  { models: 1_000, devices: 64, waiting: 100_000 },
];
const SEED = 1;
/** Warmed up: every device has changed hands several times, and the code is compiled. */
const WARM_UP_MS = 900_000;
/** Of a size's warm-up and of its measurement: what is slower than that is measured as far as it came. */
const LIMIT_MS = 9_000;
const DECISIONS = 400_000;

interface Figures {
  readonly kind: string;
  readonly share: number;
  readonly reviewShare: number;
  readonly meanUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
}

class Meter {
  readonly #timesUs = new Map<string, number[]>();
  readonly #reviewed = new Map<string, number>();
  count = 0;

  add(kind: string, tookMs: number, reviews: number): void {
    this.count += 1;
    for (const key of ['all', kind]) {
      const known = this.#timesUs.get(key);
      if (known === undefined) this.#timesUs.set(key, [tookMs * 1000]);
      else known.push(tookMs * 1000);
      if (reviews > 0) this.#reviewed.set(key, (this.#reviewed.get(key) ?? 0) + 1);
    }
  }

  figures(): Figures[] {
    return [...this.#timesUs].map(([kind, times]) => {
      const sorted = Float64Array.from(times).sort();
      const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
      return {
        kind,
        share: sorted.length / this.count,
        reviewShare: (this.#reviewed.get(kind) ?? 0) / sorted.length,
        meanUs: sorted.reduce((sum, us) => sum + us, 0) / sorted.length,
        p50Us: at(0.5),
        p99Us: at(0.99),
        maxUs: at(1),
      };
    });
  }
}

const means: number[] = [];
for (const size of SIZES) {
  const heapBefore = heapBytes();
  const run = new FleetRun(size, SEED);
  const heapEmpty = heapBytes();
  const fillMs = wallMs(() => run.fill());
  const perRequest = (heapBytes() - heapEmpty) / run.state.requests.size;
  const warm = limit();
  run.run(() => run.nowMs >= WARM_UP_MS || warm());
  const beganVirtualMs = run.nowMs;
  const meter = new Meter();
  run.onDecision = (event, tookMs, reviews) => meter.add(event.kind, tookMs, reviews);
  const movesBefore = { ...run.moves };
  const measure = limit();
  const cpuBefore = process.cpuUsage();
  const tookMs = wallMs(() => run.run(() => meter.count >= DECISIONS || measure()));
  const cpu = process.cpuUsage(cpuBefore);
  const coreShare = (cpu.user + cpu.system) / 1000 / tookMs;
  const virtualS = (run.nowMs - beganVirtualMs) / 1000;
  const figures = meter.figures();
  means.push(figures.find(({ kind }) => kind === 'all')?.meanUs ?? 0);
  print(
    `\n${size.models} models, ${size.devices} devices, ${run.waiting} waiting (wanted ${size.waiting}): ` +
      `${meter.count} decisions, ${virtualS.toFixed(0)} s of the world in ${(tookMs / 1000).toFixed(1)} s ` +
      `(after ${(beganVirtualMs / 1000).toFixed(0)} s; filled in ${(fillMs / 1000).toFixed(1)} s), with ${(100 * coreShare).toFixed(0)} % of a core`,
  );
  const moves = Object.entries(run.moves).map(
    ([kind, count]) => `${count - movesBefore[kind as keyof typeof movesBefore]} ${kind}`,
  );
  print(
    `moves: ${moves.join(', ')}; models awake ${countOf(run, 'awake')}, asleep ${countOf(run, 'asleep')}, contending ${run.state.contenders.size}`,
  );
  print(
    `memory: ${perRequest.toFixed(0)} bytes a waiting request, ${((heapEmpty - heapBefore) / size.models).toFixed(0)} bytes a model`,
  );
  print('event             share   reviews     mean us      p50      p99        max');
  for (const row of figures.sort((a, b) => b.share - a.share)) print(line(row));
}
for (const [index, size] of SIZES.entries()) {
  const before = SIZES[index - 1];
  if (before === undefined) continue;
  const growth = (means[index] ?? 0) / (means[index - 1] ?? 1);
  const logGrowth = Math.log(size.waiting) / Math.log(before.waiting);
  print(
    `\n${before.waiting} -> ${size.waiting} waiting: mean x ${growth.toFixed(2)}, log n x ${logGrowth.toFixed(2)}`,
  );
}

function line(row: Figures): string {
  const cells = [row.meanUs, row.p50Us, row.p99Us, row.maxUs].map((us) => us.toFixed(1).padStart(10));
  return `${row.kind.padEnd(16)} ${percent(row.share)} ${percent(row.reviewShare)}  ${cells.join('')}`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`.padStart(9);
}

function countOf(run: FleetRun, kind: string): number {
  return [...run.state.models.values()].filter((model) => model.engine.kind === kind).length;
}

function wallMs(work: () => void): number {
  const beganMs = performance.now();
  work();
  return performance.now() - beganMs;
}

function limit(): () => boolean {
  const endMs = performance.now() + LIMIT_MS;
  return () => performance.now() >= endMs;
}

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  return process.memoryUsage().heapUsed;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
