/**
 * The port of fetching: everything that a launch will read is brought into the Hugging Face cache before any device is
 * taken. An implementation asks one hub at a time for a repository, goes on where an earlier one stopped, and knows nothing
 * of schedulers.
 */
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { DiagnosisCause, LaunchSource } from '../engines/engine.ts';

export interface FetchProgress {
  readonly bytesDone: number;
  /** Null until the hub has told. Sizes of files that were there already count on both sides. */
  readonly bytesTotal: number | null;
  /** File in the repository that is being fetched, for people. */
  readonly file: string;
}

export interface FetchFailure {
  readonly cause: DiagnosisCause;
  /** One sentence for client and log: what failed, where, and what to do. */
  readonly text: string;
  /** False where only a changed configuration, token or disk can help. */
  readonly retryable: boolean;
}

export type FetchResult =
  | { readonly kind: 'ready'; readonly source: LaunchSource; readonly fetchedBytes: number }
  | { readonly kind: 'failed'; readonly failure: FetchFailure };

export interface FetchOptions {
  /** Ends the fetch; what is on disk by then is gone on with by the next one. The result is then not heeded. */
  readonly signal: AbortSignal;
  /** Called at most some times a second. */
  readonly onProgress: (progress: FetchProgress) => void;
}

export interface WeightsFetcher {
  /** Never rejects. Quick (some file system calls) where everything is there. Fetches of one repository wait for each other. */
  fetch(model: ResolvedModel, options: FetchOptions): Promise<FetchResult>;
  /** Ends connections. */
  close(): Promise<void>;
}
