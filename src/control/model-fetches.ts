/**
 * Fetches under way, one for each model at most: the image of its engine where it has one, then its files; and what came of
 * them, which the next launch of the model reads. It decides nothing; a fetch that was cancelled reports nothing more.
 */
import type { ResolvedConfig } from '../config/resolved-config.ts';
import { assert } from '../core/assert.ts';
import type { ModelName } from '../core/ids.ts';
import type { LaunchSource } from '../engines/engine.ts';
import type { Preparation, Runtime } from '../runtimes/runtime.ts';
import type { Effect } from '../scheduler/effects.ts';
import type { SchedulerEvent } from '../scheduler/events.ts';
import type { FetchResult, WeightsFetcher } from '../weights/fetcher.ts';
import { hasFiles } from './policies.ts';

const MIB = 1024 * 1024;

export interface FetchPorts {
  /** Made when the first model has something to fetch: it brings a hub's client along. */
  readonly openFetcher: () => Promise<WeightsFetcher>;
  readonly config: ResolvedConfig;
  readonly runtime: Pick<Runtime, 'prepare'>;
  readonly report: (event: SchedulerEvent) => void;
  readonly log: (level: 'info' | 'warn' | 'error', text: string, fields: Record<string, unknown>) => void;
}

type OnProgress = (bytesDone: number, bytesTotal: number | null) => void;

/** A null source: there was nothing but the image. */
type Fetched =
  | Extract<FetchResult, { readonly kind: 'failed' }>
  | { readonly kind: 'ready'; readonly source: LaunchSource | null; readonly fetchedBytes: number };

function imageFailure({ cause, detail }: Extract<Preparation, { readonly kind: 'failed' }>): Fetched {
  return {
    kind: 'failed',
    failure: { cause: cause === 'resources' ? 'fetch_failed' : cause, text: detail, retryable: true },
  };
}

export class ModelFetches {
  readonly #ports: FetchPorts;
  readonly #running = new Map<ModelName, AbortController>();
  readonly #sources = new Map<ModelName, LaunchSource>();
  #fetcher: Promise<WeightsFetcher> | null = null;

  constructor(ports: FetchPorts) {
    this.#ports = ports;
  }

  /** What was fetched for the model; null: nothing was, and it starts as configured. */
  sourceOf(model: ModelName): LaunchSource | null {
    return this.#sources.get(model) ?? null;
  }

  carryOut(effect: Extract<Effect, { kind: 'fetch' | 'cancel_fetch' }>): void {
    const { kind, model, reason } = effect;
    if (kind === 'fetch') {
      this.#ports.log('info', `fetch ${model}: ${reason}`, { model });
      this.#begin(model);
      return;
    }
    this.#ports.log('info', `the fetch of ${model} ends: ${reason}`, { model });
    this.#running.get(model)?.abort();
    this.#running.delete(model);
  }

  /** Ends every fetch; what is on disk stays. */
  close(): void {
    for (const abort of this.#running.values()) abort.abort();
    this.#running.clear();
    void this.#fetcher?.then((fetcher) => fetcher.close()).catch(() => {});
  }

  #begin(name: ModelName): void {
    const { report } = this.#ports;
    const abort = new AbortController();
    this.#running.set(name, abort);
    const onProgress: OnProgress = (bytesDone, bytesTotal) => {
      if (this.#running.get(name) === abort) report({ kind: 'fetching', model: name, bytesDone, bytesTotal });
    };
    void this.#fetch(name, abort.signal, onProgress).then((result) => {
      if (this.#running.get(name) !== abort) return;
      this.#running.delete(name);
      this.#told(name, result);
    });
  }

  async #fetch(name: ModelName, signal: AbortSignal, onProgress: OnProgress): Promise<Fetched> {
    const { config, runtime } = this.#ports;
    const model = config.models.get(name);
    assert(model !== undefined, `there is no configuration of ${name}`);
    try {
      let pulledBytes = 0;
      const prepared = await runtime.prepare(model.image, {
        signal,
        onProgress(bytesDone, bytesTotal) {
          pulledBytes = bytesDone;
          onProgress(bytesDone, bytesTotal);
        },
      });
      if (prepared.kind === 'failed') return imageFailure(prepared);
      if (!hasFiles(model)) return { kind: 'ready', source: null, fetchedBytes: 0 };
      const fetcher = await this.#openFetcher();
      return await fetcher.fetch(model, {
        signal,
        onProgress: ({ bytesDone, bytesTotal }) =>
          onProgress(pulledBytes + bytesDone, bytesTotal === null ? null : pulledBytes + bytesTotal),
      });
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      return { kind: 'failed', failure: { cause: 'fetch_failed', text, retryable: true } };
    }
  }

  /** One that could not be made is tried again by the next fetch. */
  async #openFetcher(): Promise<WeightsFetcher> {
    this.#fetcher ??= this.#ports.openFetcher();
    try {
      return await this.#fetcher;
    } catch (error) {
      this.#fetcher = null;
      throw error;
    }
  }

  #told(name: ModelName, result: Fetched): void {
    const { report, log } = this.#ports;
    if (result.kind === 'ready') {
      const { source, fetchedBytes } = result;
      if (source !== null) this.#sources.set(name, source);
      if (fetchedBytes > 0)
        log('info', `${name} is fetched (${Math.round(fetchedBytes / MIB)} MiB)`, { model: name });
      report({ kind: 'fetched', model: name, failure: null });
      return;
    }
    const { cause, text, retryable } = result.failure;
    log('error', `${name} could not be fetched: ${text}`, { model: name });
    report({
      kind: 'fetched',
      model: name,
      failure: { cause, text: `it could not be fetched: ${text}`, retryable },
    });
  }
}
