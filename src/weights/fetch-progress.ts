/** How far a fetch is, told some times a second at most. */
import type { FetchProgress } from './fetcher.ts';

export class ProgressMeter {
  readonly #tell: (progress: FetchProgress) => void;
  readonly #everyMs: number;
  #bytesDone = 0;
  #bytesTotal: number | null = null;
  #file = '';
  #toldAtMs = Number.NEGATIVE_INFINITY;

  constructor(tell: (progress: FetchProgress) => void, everyMs: number) {
    this.#tell = tell;
    this.#everyMs = everyMs;
  }

  /** Files that are needed, there already or not. */
  addTotal(bytes: number): void {
    this.#bytesTotal = (this.#bytesTotal ?? 0) + bytes;
  }

  /** What was here before. Tells nobody: where nothing is fetched there is no progress. */
  addPresent(bytes: number): void {
    this.#bytesDone += bytes;
  }

  /** Negative where a file is begun anew. */
  addDone(bytes: number, file: string): void {
    this.#bytesDone += bytes;
    this.#file = file;
    if (performance.now() - this.#toldAtMs >= this.#everyMs) this.flush();
  }

  flush(): void {
    this.#toldAtMs = performance.now();
    this.#tell({ bytesDone: this.#bytesDone, bytesTotal: this.#bytesTotal, file: this.#file });
  }
}
