/**
 * Lets a gateway that is not root into the sockets of engines that are. A socket belongs to whoever made it, and vLLM opens
 * it to nobody else; so, when it is there, its rights are changed from within its container. The directory above keeps
 * everybody else out.
 */
import { access, constants } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DockerConnection } from './connection.ts';
import { withSignal } from './connection.ts';
import { faultOf } from './docker-fault.ts';

/** vLLM makes its socket within seconds, long before it listens. */
const POLL_MS = 200;
/** Between two tries to change the rights, and how many there are. */
const RETRY_MS = 1_000;
const TRIES_MAX = 5;

export interface SocketOpening {
  readonly containerId: string;
  /** Where the socket is here, and where it is in the container. */
  readonly socketPath: string;
  readonly innerPath: string;
  /** The engine has ended, or nobody watches it any more. */
  readonly signal: AbortSignal;
}

/** Resolves when we may connect, or with why that cannot be; null also when it ended before. */
export async function openSocket(
  connection: DockerConnection,
  opening: SocketOpening,
): Promise<string | null> {
  const { socketPath, signal } = opening;
  while (!(await mayAccess(socketPath, constants.F_OK))) {
    await sleep(POLL_MS, undefined, { signal, ref: false }).catch(() => undefined);
    if (signal.aborted) return null;
  }
  let failure = '';
  for (let attempt = 0; attempt < TRIES_MAX && !signal.aborted; attempt++) {
    if (await mayAccess(socketPath, constants.W_OK)) return null;
    if (attempt > 0) await sleep(RETRY_MS, undefined, { signal, ref: false }).catch(() => undefined);
    failure = await changeRights(connection, opening);
  }
  if (signal.aborted || (await mayAccess(socketPath, constants.W_OK))) return null;
  return failure === '' ? 'its rights stay as they are' : failure;
}

async function changeRights(
  { docker, call }: DockerConnection,
  { containerId, innerPath }: SocketOpening,
): Promise<string> {
  try {
    const command = { Cmd: ['chmod', '0666', innerPath], User: '0' };
    const exec = await call((abortSignal) =>
      docker.getContainer(containerId).exec(withSignal(command, abortSignal)),
    );
    const stream = await call((abortSignal) => exec.start(withSignal({}, abortSignal)));
    // Its end is the command's.
    stream.resume();
    await call(
      () =>
        new Promise<void>((resolve, reject) => {
          stream.once('close', resolve).once('end', resolve).once('error', reject);
        }),
    );
    const { ExitCode } = await call((abortSignal) => exec.inspect(withSignal({}, abortSignal)));
    return ExitCode === 0 ? '' : `chmod in its container ended with ${ExitCode}`;
  } catch (error) {
    return faultOf(error).text;
  }
}

async function mayAccess(path: string, mode: number): Promise<boolean> {
  return await access(path, mode).then(
    () => true,
    () => false,
  );
}
