/**
 * Where a runtime keeps what must outlive it beside the records: sockets and output. Only we may enter, because whoever reaches an
 * engine's socket reaches its development routes, and those run any code.
 */
import { createHash } from 'node:crypto';
import { access, chmod, constants, lstat, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import type { LaunchId } from '../../core/ids.ts';
import { LAUNCH_ID } from '../../core/ids.ts';
import { SOCKET_PATH_BYTES_MAX } from '../../core/limits.ts';
import { makeDirectory } from '../../store/make-directory.ts';
import { OLDER_OUTPUT_SUFFIX } from './output-tail.ts';

/** Outputs of ended engines that are kept for people to read. */
const ENDED_OUTPUTS_MAX = 50;

const SOCKET_SUFFIX = '.sock';
const OUTPUT_SUFFIX = '.log';

/** `LAUNCH_ID` allows twice 16 characters and a dash. */
const LAUNCH_ID_BYTES_MAX = 33;

export interface StateDirectory {
  readonly root: string;
  socketPath(launchId: LaunchId): string;
  outputPath(launchId: LaunchId): string;
  /** Launches that a socket file is there for. */
  socketOwners(): Promise<readonly LaunchId[]>;
  /** Removes the oldest outputs beyond the limit, except of the launches that live. */
  pruneOutputs(living: ReadonlySet<LaunchId>): Promise<void>;
}

/** Makes what is missing. Throws when a directory cannot be made private, or written. */
export async function openStateDirectory(path: string, temporary = tmpdir()): Promise<StateDirectory> {
  const root = resolve(path);
  await makeWritable(root);
  const outputs = join(root, 'output');
  const sockets = socketDirectory(root, temporary);
  await makePrivate(outputs);
  await makePrivate(sockets);
  return {
    root,
    socketPath: (launchId) => join(sockets, launchId + SOCKET_SUFFIX),
    outputPath: (launchId) => join(outputs, launchId + OUTPUT_SUFFIX),
    async socketOwners() {
      const names = (await readdir(sockets)).filter((name) => name.endsWith(SOCKET_SUFFIX));
      return names.map((name) => name.slice(0, -SOCKET_SUFFIX.length)).filter((id) => LAUNCH_ID.test(id));
    },
    pruneOutputs: (living) => pruneOutputs(outputs, living),
  };
}

/** In the state directory where the path is short enough for a socket address, else in the system's temporary directory. */
function socketDirectory(root: string, temporary: string): string {
  const fits = (directory: string): boolean =>
    Buffer.byteLength(join(directory, SOCKET_SUFFIX)) + LAUNCH_ID_BYTES_MAX <= SOCKET_PATH_BYTES_MAX;
  const beside = join(root, 's');
  if (fits(beside)) return beside;
  const name = createHash('sha256').update(root).digest('hex').slice(0, 8);
  const elsewhere = join(resolve(temporary), `vllm-gateway-${userInfo().uid}-${name}`);
  if (fits(elsewhere)) return elsewhere;
  throw new Error(
    `no directory for engine sockets: ${beside} and ${elsewhere} are both too long (a socket path has ${SOCKET_PATH_BYTES_MAX} bytes); choose a shorter runtime.state_directory`,
  );
}

/** Whose launches nobody can record must not launch any. */
async function makeWritable(root: string): Promise<void> {
  try {
    await makePrivate(root);
    await access(root, constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new Error(
      `${root} cannot be written (${code}): mend that, or choose another directory (\`runtime.state_directory\`)`,
    );
  }
}

/** In a shared place another user may have been there first: then it is neither ours nor private, and refused. */
async function makePrivate(directory: string): Promise<void> {
  await makeDirectory(directory, 0o700);
  const found = await lstat(directory);
  const target = found.isSymbolicLink() ? await stat(directory) : found;
  const uid = process.getuid?.();
  if (!target.isDirectory()) throw new Error(`${directory} is not a directory`);
  if (uid !== undefined && (found.uid !== uid || target.uid !== uid)) {
    throw new Error(
      `${directory} belongs to another user (${found.uid}), so engines cannot be kept private there`,
    );
  }
  if ((target.mode & 0o777) !== 0o700) await chmod(directory, 0o700);
}

async function pruneOutputs(outputs: string, living: ReadonlySet<LaunchId>): Promise<void> {
  const ended: { readonly path: string; readonly modifiedMs: number }[] = [];
  for (const name of await readdir(outputs)) {
    if (!name.endsWith(OUTPUT_SUFFIX) || living.has(name.slice(0, -OUTPUT_SUFFIX.length))) continue;
    const path = join(outputs, name);
    const found = await stat(path).catch(() => null);
    if (found !== null) ended.push({ path, modifiedMs: found.mtimeMs });
  }
  ended.sort((a, b) => b.modifiedMs - a.modifiedMs);
  for (const { path } of ended.slice(ENDED_OUTPUTS_MAX)) {
    await rm(path, { force: true });
    await rm(path + OLDER_OUTPUT_SUFFIX, { force: true });
  }
}
