/**
 * From a path as we see it to the path as Docker's host sees it. The same where we run beside Docker; through our own
 * mounts where we run in a container. Pure.
 */
import { isAbsolute, relative, resolve } from 'node:path';
import type { Result } from '../../core/result.ts';
import { failure, success } from '../../core/result.ts';

/** A mount of our own container: what stands at `target` here stands at `source` on Docker's host. */
export interface OwnMount {
  readonly target: string;
  /** Null for what has no place there (tmpfs). */
  readonly source: string | null;
}

/** The error says why, with the remedy, as a sentence. */
export type PathMap = (path: string) => Result<string, string>;

/** `mounts` null: we run on Docker's host itself. */
export function createPathMap(mounts: readonly OwnMount[] | null): PathMap {
  if (mounts === null) return (path) => success(resolve(path));
  const deepestFirst = [...mounts].sort((a, b) => b.target.length - a.target.length);
  return (path) => {
    const wanted = resolve(path);
    for (const { target, source } of deepestFirst) {
      const below = relative(target, wanted);
      if (below.startsWith('..') || isAbsolute(below)) continue;
      if (source === null) {
        return failure(
          `${wanted} is in memory of the gateway's own container (a tmpfs): mount a directory or a volume there`,
        );
      }
      return success(below === '' ? source : `${source.replace(/\/$/, '')}/${below}`);
    }
    return failure(
      `${wanted} exists only inside of the gateway's own container: mount a directory or a volume there, so that engines can be given it`,
    );
  };
}
