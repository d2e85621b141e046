/** Reads the facts of models in the background, a few at a time, those first that somebody asks for. */
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { ModelName } from '../core/ids.ts';
import { failure, type Result } from '../core/result.ts';
import type { ReadFacts } from '../readers/model-reader.ts';
import type { ReadFault } from '../readers/read-fault.ts';

/** Each holds a few connections to the hub, or reads headers from one disk. */
const READINGS_MAX = 2;

export type FactsRead = Result<ReadFacts, ReadFault>;

export class SizerReading {
  readonly #read: (model: ResolvedModel) => Promise<FactsRead> | null;
  readonly #done: (model: ResolvedModel, read: FactsRead | null) => void;
  readonly #waiting = new Map<ModelName, ResolvedModel>();
  #running = 0;
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
    const model = this.#waiting.get(name);
    if (model === undefined) return;
    const others = [...this.#waiting.values()].filter((other) => other !== model);
    this.#waiting.clear();
    for (const each of [model, ...others]) this.#waiting.set(each.name, each);
  }

  /** Nothing is told afterwards; readings that run end by their own limit. */
  close(): void {
    this.#closed = true;
    this.#waiting.clear();
  }

  #next(): void {
    while (!this.#closed && this.#running < READINGS_MAX) {
      const [model] = this.#waiting.values();
      if (model === undefined) return;
      this.#waiting.delete(model.name);
      this.#running += 1;
      void this.#one(model);
    }
  }

  async #one(model: ResolvedModel): Promise<void> {
    const read = await this.#attempt(model);
    this.#running -= 1;
    if (!this.#closed) this.#done(model, read);
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
