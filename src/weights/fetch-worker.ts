/** The thread that fetches: hashes and writes of many gigabytes are no work for the one that serves requests. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Environment } from '../config/environment.ts';
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { FetchLimits } from './fetch-limits.ts';
import type { FetchProgress, FetchResult } from './fetcher.ts';
import { createWeightsFetcher } from './weights-fetcher.ts';

export interface FetchWorkerData {
  readonly environment: Environment;
  readonly update: boolean;
  readonly limits: Partial<FetchLimits>;
}

export type ToFetchWorker =
  | { readonly kind: 'fetch'; readonly id: number; readonly model: ResolvedModel }
  | { readonly kind: 'abort'; readonly id: number }
  | { readonly kind: 'close' };

export type FromFetchWorker =
  | { readonly kind: 'progress'; readonly id: number; readonly progress: FetchProgress }
  | { readonly kind: 'result'; readonly id: number; readonly result: FetchResult }
  | {
      readonly kind: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly text: string;
      readonly fields: Record<string, unknown> | undefined;
    };

const port = parentPort;
if (port === null) throw new Error('fetch-worker runs as a thread');
const tell = (message: FromFetchWorker): void => port.postMessage(message);
const { environment, update, limits } = workerData as FetchWorkerData;
const fetcher = createWeightsFetcher({
  environment,
  update,
  limits,
  log: (level, text, fields) => tell({ kind: 'log', level, text, fields }),
});
const running = new Map<number, AbortController>();

port.on('message', (message: ToFetchWorker) => {
  switch (message.kind) {
    case 'fetch':
      begin(message.id, message.model);
      break;
    case 'abort':
      running.get(message.id)?.abort();
      break;
    case 'close':
      void fetcher.close().then(() => port.close());
  }
});

function begin(id: number, model: ResolvedModel): void {
  const abort = new AbortController();
  running.set(id, abort);
  const onProgress = (progress: FetchProgress): void => tell({ kind: 'progress', id, progress });
  void fetcher.fetch(model, { signal: abort.signal, onProgress }).then((result) => {
    running.delete(id);
    tell({ kind: 'result', id, result });
  });
}
