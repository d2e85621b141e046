/**
 * Is the program there? Asked before the start, because with an init process a missing program is a container that
 * starts and ends at once, which says nothing.
 */
import type { IncomingMessage } from 'node:http';
import type { ContainerInspectInfo } from 'dockerode';
import type { DockerConnection } from './connection.ts';
import { faultOf } from './docker-fault.ts';

/** Symbolic links are believed; the engine's own failure tells of broken ones. */
const GO_SYMLINK_BIT = 1 << 27;
const GO_DIRECTORY_BIT = 1 << 31;
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Directories of PATH that are looked at. */
const PATH_ENTRIES_MAX = 64;

export type ProgramState = 'there' | 'missing' | 'forbidden';

/** `container` has been created and not started. Rejects as dockerode does. */
export async function findProgram(
  connection: DockerConnection,
  container: ContainerInspectInfo,
  program: string,
): Promise<ProgramState> {
  for (const path of pathsOf(container, program)) {
    const mode = await modeOf(connection, container.Id, path);
    if (mode === null || (mode & GO_DIRECTORY_BIT) !== 0) continue;
    return (mode & GO_SYMLINK_BIT) !== 0 || (mode & 0o111) !== 0 ? 'there' : 'forbidden';
  }
  return 'missing';
}

function pathsOf({ Config }: ContainerInspectInfo, program: string): readonly string[] {
  if (program.startsWith('/')) return [program];
  if (program.includes('/')) return [`${Config.WorkingDir === '' ? '/' : Config.WorkingDir}/${program}`];
  const variable = Config.Env.find((entry) => entry.startsWith('PATH='))?.slice('PATH='.length);
  const directories = (variable ?? DEFAULT_PATH).split(':').filter((directory) => directory.startsWith('/'));
  return directories.slice(0, PATH_ENTRIES_MAX).map((directory) => `${directory}/${program}`);
}

/** Go's file mode; null where nothing is there. */
async function modeOf({ docker, call }: DockerConnection, id: string, path: string): Promise<number | null> {
  try {
    const answer: unknown = await call((abortSignal) =>
      docker.getContainer(id).infoArchive({ path, abortSignal }),
    );
    const { headers } = answer as IncomingMessage;
    (answer as IncomingMessage).resume();
    const text = Buffer.from(String(headers['x-docker-container-path-stat'] ?? ''), 'base64').toString(
      'utf8',
    );
    const stat: unknown = JSON.parse(text);
    return typeof stat === 'object' && stat !== null && 'mode' in stat ? Number(stat.mode) : null;
  } catch (error) {
    const { status, text } = faultOf(error);
    if (status === 404) return null;
    // A path through a file (`/etc/passwd/vllm`) is no answer of its own.
    if (status === 500 && /not a directory/i.test(text)) return null;
    throw error;
  }
}
