/** Reads the facts of models in the background, a few at a time, those first that somebody asks for. */
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { ModelName } from '../core/ids.ts';
import { failure, type Result } from '../core/result.ts';
import type { ReadFacts } from '../readers/model-reader.ts';
import type { ReadFault } from '../readers/read-fault.ts';

/** Each holds a few connections to the hub, or reads headers from one disk. */
const READINGS_MAX = 2;
/** Of those that somebody waits for, beside the others: a start must not wait for readings that nobody asked for. */
const HURRIED_MAX = 8;

export type FactsRead = Result<ReadFacts, ReadFault>;

export class SizerReading {
  readonly #read: (model: ResolvedModel) => Promise<FactsRead> | null;
  readonly #done: (model: ResolvedModel, read: FactsRead | null) => void;
  readonly #waiting = new Map<ModelName, ResolvedModel>();
  /** Of those that wait, by who was first. */
  readonly #hurried = new Set<ModelName>();
  #running = 0;
  #hurriedRunning = 0;
  #closed = false;

  /** `read` has a time limit of its own, and is null where there is nothing to read. `done` is called once for each model, never within `add`. */
  constructor(
    read: (model: ResolvedModel) => Promise<FactsRead> | null,
    done: (model: ResolvedModel, read: FactsRead | null) => void,
  ) {
    this.#read = read;
    this.#done = done;
  }

  add(models: readonly ResolvedModel[]): void {
    for (const model of models) this.#waiting.set(model.name, model);
    this.#next();
  }

  /** Somebody waits for this one. */
  hurry(name: ModelName): void {
    if (!this.#waiting.has(name)) return;
    this.#hurried.add(name);
    this.#next();
  }

  /** Nothing is told afterwards; readings that run end by their own limit. */
  close(): void {
    this.#closed = true;
    this.#waiting.clear();
    this.#hurried.clear();
  }

  #next(): void {
    while (this.#hurriedRunning < HURRIED_MAX) {
      const [name] = this.#hurried;
      if (name === undefined) break;
      this.#begin(name, true);
    }
    while (this.#running < READINGS_MAX) {
      const [name] = this.#hurried.size > 0 ? this.#hurried : this.#waiting.keys();
      if (name === undefined) return;
      this.#begin(name, false);
    }
  }

  #begin(name: ModelName, isHurried: boolean): void {
    const model = this.#waiting.get(name);
    this.#waiting.delete(name);
    this.#hurried.delete(name);
    if (model === undefined) return;
    if (isHurried) this.#hurriedRunning += 1;
    else this.#running += 1;
    void this.#one(model, isHurried);
  }

  async #one(model: ResolvedModel, isHurried: boolean): Promise<void> {
    const read = await this.#attempt(model);
    if (isHurried) this.#hurriedRunning -= 1;
    else this.#running -= 1;
    if (this.#closed) return;
    this.#done(model, read);
    this.#next();
  }

  async #attempt(model: ResolvedModel): Promise<FactsRead | null> {
    try {
      return await this.#read(model);
    } catch (error) {
      // A defect of a reader must not cost the gateway: the model then counts as unreadable.
      return failure({
        kind: 'malformed',
        text: `reading ${model.repo ?? model.name} failed: ${String(error)}`,
      });
    }
  }
}
