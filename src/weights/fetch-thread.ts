/**
 * A fetcher that works in a thread of its own.
 *  1. Where everything is here, the answer comes at once and without a thread.
 *  2. The thread is started when something has to be fetched, and ends when nothing more is.
 *  3. A thread that dies fails its fetches, which may be tried again; what is on the disk stays.
 */
import nodeModule from 'node:module';
import { Worker } from 'node:worker_threads';
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { FetchWorkerData, FromFetchWorker, ToFetchWorker } from './fetch-worker.ts';
import type { FetchOptions, FetchResult, WeightsFetcher } from './fetcher.ts';
import { fetchedAlready, type WeightsFetcherOptions } from './weights-fetcher.ts';

export type FetchThreadOptions = Pick<WeightsFetcherOptions, 'environment' | 'log' | 'update' | 'limits'>;

/** Compiled for publishing, source in a checkout: as this file itself. */
const THREAD_FILE = new URL(
  `./fetch-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`,
  import.meta.url,
);
/** It holds lists of files and one chunk of each; beyond this it dies and fails its fetches. */
const HEAP_MIB_MAX = 256;
/** For connections and files to be closed; a disk that hangs is left behind. */
const CLOSE_LIMIT_MS = 5_000;

interface Waiting {
  readonly options: FetchOptions;
  readonly settle: (result: FetchResult) => void;
}

export function createThreadedFetcher(options: FetchThreadOptions): WeightsFetcher {
  const thread = new FetchThread(options);
  return {
    async fetch(model, fetchOptions) {
      const already = await fetchedAlready(model, options);
      return already ?? thread.fetch(model, fetchOptions);
    },
    close: () => thread.close(),
  };
}

class FetchThread {
  readonly #options: FetchThreadOptions;
  readonly #waiting = new Map<number, Waiting>();
  #thread: Worker | null = null;
  #nextId = 1;
  #isClosed = false;

  constructor(options: FetchThreadOptions) {
    this.#options = options;
  }

  fetch(model: ResolvedModel, options: FetchOptions): Promise<FetchResult> {
    if (this.#isClosed || options.signal.aborted) return Promise.resolve(ended('the fetch was ended'));
    const id = this.#nextId++;
    const { promise, resolve } = Promise.withResolvers<FetchResult>();
    const abort = (): void => this.#post({ kind: 'abort', id });
    options.signal.addEventListener('abort', abort, { once: true });
    const settle = (result: FetchResult): void => {
      options.signal.removeEventListener('abort', abort);
      resolve(result);
    };
    this.#waiting.set(id, { options, settle });
    this.#thread ??= this.#start();
    this.#post({ kind: 'fetch', id, model });
    return promise;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const thread = this.#thread;
    if (thread === null) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    thread.once('exit', () => resolve());
    const limit = setTimeout(() => void thread.terminate(), CLOSE_LIMIT_MS);
    this.#post({ kind: 'close' });
    await promise;
    clearTimeout(limit);
  }

  #post(message: ToFetchWorker): void {
    this.#thread?.postMessage(message);
  }

  #start(): Worker {
    const { environment, update = false, limits = {} } = this.#options;
    const compileCache = nodeModule.getCompileCacheDir?.();
    const thread = new Worker(THREAD_FILE, {
      name: 'fetch',
      env: compileCache === undefined ? {} : { NODE_COMPILE_CACHE: compileCache },
      execArgv: ['--disable-warning=ExperimentalWarning'],
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB_MAX },
      workerData: { environment, update, limits } satisfies FetchWorkerData,
    });
    let why = 'it ended';
    thread.on('message', (message: FromFetchWorker) => this.#take(message));
    thread.on('error', (error) => {
      why = error instanceof Error ? error.message : String(error);
    });
    thread.on('exit', () => this.#died(thread, why));
    return thread;
  }

  #take(message: FromFetchWorker): void {
    if (message.kind === 'log') {
      this.#options.log(message.level, message.text, message.fields);
      return;
    }
    const waiting = this.#waiting.get(message.id);
    if (waiting === undefined) return;
    if (message.kind === 'progress') {
      waiting.options.onProgress(message.progress);
      return;
    }
    this.#waiting.delete(message.id);
    waiting.settle(message.result);
    if (this.#waiting.size > 0 || this.#isClosed) return;
    this.#post({ kind: 'close' });
    this.#thread = null;
  }

  #died(thread: Worker, why: string): void {
    if (this.#thread !== thread) return;
    this.#thread = null;
    const result = ended(
      this.#isClosed ? 'the fetch was ended' : `the thread that fetches has died (${why}); what came is kept`,
    );
    for (const { settle } of this.#waiting.values()) settle(result);
    this.#waiting.clear();
  }
}

function ended(text: string): FetchResult {
  return { kind: 'failed', failure: { cause: 'fetch_failed', text, retryable: true } };
}
