/** Files of one model, wherever they are: a directory, a snapshot of the Hugging Face cache, or a repository on a hub. */

export interface ModelFile {
  /** Relative to the model, with forward slashes. */
  readonly path: string;
  readonly sizeBytes: number;
}

export interface ModelFiles {
  /** For messages: a path or a repository's name. */
  readonly label: string;
  /** Files at the top and below. */
  list(): Promise<readonly ModelFile[]>;
  /** Bytes `start` to `end` (exclusive), exactly; a file that ends before is a fault. */
  range(path: string, start: number, end: number): Promise<Uint8Array>;
  /** What the GGUF reader needs to open the file by itself. */
  ggufAddress(path: string): { readonly uri: string; readonly fetch: typeof fetch | null };
}

/** Whole small text files; larger ones are refused before they are read. */
export const TEXT_BYTES_MAX = 64 * 1024 * 1024;
