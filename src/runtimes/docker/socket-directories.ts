/**
 * A directory for each launch, in which its engine makes its socket. Each container is given its own and no other, so
 * engines cannot reach each other; the directory above lets only us in.
 */
import { chmod, lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { LaunchId } from '../../core/ids.ts';
import { LAUNCH_ID } from '../../core/ids.ts';
import { SOCKET_PATH_BYTES_MAX } from '../../core/limits.ts';
import type { Result } from '../../core/result.ts';
import { failure, success } from '../../core/result.ts';
import type { SocketMount } from './engine-mounts.ts';

/** Where a container has its own directory. */
const TARGET_ROOT = '/run/vllm-gateway';
const SOCKET_NAME = 'e.sock';
/** `LAUNCH_ID` allows twice 16 characters and a dash. */
const LAUNCH_ID_BYTES_MAX = 33;

export interface SocketDirectories {
  readonly root: string;
  directoryOf(launchId: LaunchId): string;
  /** Where we reach the engine. */
  socketPath(launchId: LaunchId): string;
  /** Where it listens, as it sees it. */
  innerPath(launchId: LaunchId): string;
  make(launchId: LaunchId): Promise<SocketMount>;
  remove(launchId: LaunchId): Promise<void>;
  list(): Promise<readonly LaunchId[]>;
}

/** Made where it is missing. The error is a sentence. */
export async function openSocketDirectories(path: string): Promise<Result<SocketDirectories, string>> {
  const root = resolve(path);
  const longest = Buffer.byteLength(join(root, 'x'.repeat(LAUNCH_ID_BYTES_MAX), SOCKET_NAME));
  if (longest > SOCKET_PATH_BYTES_MAX) {
    return failure(
      `sockets below ${root} would have ${longest} bytes in their path, and ${SOCKET_PATH_BYTES_MAX} are allowed: choose a shorter runtime.state_directory`,
    );
  }
  await mkdir(root, { recursive: true, mode: 0o700 });
  const uid = process.getuid?.();
  const found = await lstat(root);
  if (!found.isDirectory() || (uid !== undefined && found.uid !== uid)) {
    return failure(`${root} is not a directory of ours, so engines cannot be kept private there`);
  }
  await chmod(root, 0o700);
  const directoryOf = (launchId: LaunchId): string => join(root, launchId);
  const targetOf = (launchId: LaunchId): string => `${TARGET_ROOT}/${launchId}`;
  return success({
    root,
    directoryOf,
    socketPath: (launchId) => join(directoryOf(launchId), SOCKET_NAME),
    innerPath: (launchId) => `${targetOf(launchId)}/${SOCKET_NAME}`,
    async make(launchId) {
      const directory = directoryOf(launchId);
      await rm(directory, { recursive: true, force: true });
      await mkdir(directory);
      // The engine may be another user, and only it and we come here.
      await chmod(directory, 0o777);
      return { directory, target: targetOf(launchId) };
    },
    remove: (launchId) => rm(directoryOf(launchId), { recursive: true, force: true }),
    list: async () => (await readdir(root)).filter((name) => LAUNCH_ID.test(name)),
  });
}
