/**
 * Places for files that are fetched at once, shared fairly between repositories.
 *  1. So many in all, and so many of one repository.
 *  2. A repository of which nothing is under way gets one at once, though all are taken: small ones do not wait for hours
 *     until a file of a large one is whole. Their number is limited too.
 *  3. A place that becomes free goes to the repository with the fewest, then to whoever has waited longest.
 */
import type { FetchLimits } from './fetch-limits.ts';

export type SlotLimits = Pick<FetchLimits, 'filesAtOnceMax' | 'filesOfRepositoryMax' | 'filesBesideMax'>;

interface Waiting {
  readonly repository: string;
  readonly begin: () => void;
}

export class Slots {
  readonly #limits: SlotLimits;
  readonly #taken = new Map<string, number>();
  #takenCount = 0;
  #waiting: readonly Waiting[] = [];

  constructor(limits: SlotLimits) {
    this.#limits = limits;
  }

  /** Rejects with the signal's reason where it aborts before there is a place; `work` heeds the signal itself. */
  async run<T>(repository: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    if (this.#hasPlace(repository)) this.#take(repository);
    else await this.#turn(repository, signal);
    try {
      return await work();
    } finally {
      this.#giveBack(repository);
    }
  }

  #hasPlace(repository: string): boolean {
    const { filesAtOnceMax, filesOfRepositoryMax, filesBesideMax } = this.#limits;
    const own = this.#taken.get(repository) ?? 0;
    const allMax = filesAtOnceMax + (own === 0 ? filesBesideMax : 0);
    return own < filesOfRepositoryMax && this.#takenCount < allMax;
  }

  #take(repository: string): void {
    this.#taken.set(repository, (this.#taken.get(repository) ?? 0) + 1);
    this.#takenCount += 1;
  }

  #turn(repository: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#waiting = this.#waiting.filter((each) => each !== waiting);
        reject(signal.reason);
      };
      const begin = (): void => {
        signal.removeEventListener('abort', abort);
        resolve();
      };
      const waiting = { repository, begin };
      this.#waiting = [...this.#waiting, waiting];
      signal.addEventListener('abort', abort, { once: true });
    });
  }

  #giveBack(repository: string): void {
    const left = (this.#taken.get(repository) ?? 1) - 1;
    if (left === 0) this.#taken.delete(repository);
    else this.#taken.set(repository, left);
    this.#takenCount -= 1;
    for (let next = this.#next(); next !== null; next = this.#next()) {
      const begun = next;
      this.#waiting = this.#waiting.filter((each) => each !== begun);
      this.#take(begun.repository);
      begun.begin();
    }
  }

  #next(): Waiting | null {
    const share = ({ repository }: Waiting): number => this.#taken.get(repository) ?? 0;
    let best: Waiting | null = null;
    for (const each of this.#waiting) {
      if (this.#hasPlace(each.repository) && (best === null || share(each) < share(best))) best = each;
    }
    return best;
  }
}
