/**
 * The end of a container, verified: SIGTERM, its grace, SIGKILL, removed, and the daemon says that it is not there.
 * A container's processes are a table of their own, which ends with its first one: nothing can stay behind.
 *
 *  E1. A daemon that does not answer is asked again, for at most `OUTAGE_LIMIT_MS` in each step.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DockerConnection } from './connection.ts';
import type { ContainerState } from './container-exit.ts';
import { faultOf } from './docker-fault.ts';

/** A killed container that still runs after this hangs in the kernel (a driver, a dead network disk). */
const KILL_VERIFY_MS_MAX = 15_000;
const OUTAGE_LIMIT_MS = 10_000;
const CALL_LIMIT_MS = 10_000;
const RETRY_MS = 250;
/** How often the container is looked at while its end is awaited, should its event be lost. */
const LOOK_EVERY_MS = 1_000;

export interface EndingContainer {
  readonly containerId: string;
  isRunning(): boolean;
  /** Resolves when its exit is known. */
  readonly exited: Promise<void>;
  /** What Docker says of it; null: it is not there. */
  hasState(state: ContainerState | null): void;
}

export interface Ending {
  readonly left: string | null;
  readonly forced: boolean;
}

/** `hurry` aborted: the grace is over at once. */
export async function endContainer(
  connection: DockerConnection,
  container: EndingContainer,
  graceMs: number,
  hurry: AbortSignal,
): Promise<Ending> {
  try {
    await look(connection, container);
    if (!container.isRunning()) return { left: null, forced: false };
    if (graceMs > 0 && !hurry.aborted) {
      await signal(connection, container.containerId, 'SIGTERM');
      await endsWithin(connection, container, graceMs, hurry);
      if (!container.isRunning()) return { left: null, forced: false };
    }
    await signal(connection, container.containerId, 'SIGKILL');
    await endsWithin(connection, container, KILL_VERIFY_MS_MAX, new AbortController().signal);
    const left = container.isRunning() ? 'its container does not end, even when killed' : null;
    return { left, forced: true };
  } catch (error) {
    return { left: `Docker could not end its container: ${faultOf(error).text}`, forced: true };
  }
}

/** Rejects when it is still there. */
export async function removeContainer(connection: DockerConnection, containerId: string): Promise<void> {
  const { docker } = connection;
  await persistently(connection, async (abortSignal) => {
    try {
      await docker.getContainer(containerId).remove({ force: true, v: true, abortSignal });
    } catch (error) {
      // 409: a removal is under way already.
      if (faultOf(error).status !== 409) throw error;
    }
    await docker.getContainer(containerId).inspect({ abortSignal });
    throw new Error('it is being removed');
  });
}

async function signal(
  connection: DockerConnection,
  containerId: string,
  name: NodeJS.Signals,
): Promise<void> {
  await persistently(connection, async (abortSignal) => {
    try {
      await connection.docker.getContainer(containerId).kill({ signal: name, abortSignal });
    } catch (error) {
      const { status, text } = faultOf(error);
      if (/is paused/i.test(text)) {
        await connection.docker.getContainer(containerId).unpause({ abortSignal });
        throw error;
      }
      // 409: it does not run (any more).
      if (status !== 409) throw error;
    }
  });
}

async function look(connection: DockerConnection, container: EndingContainer): Promise<void> {
  let isThere = false;
  await persistently(connection, async (abortSignal) => {
    const found = await connection.docker.getContainer(container.containerId).inspect({ abortSignal });
    isThere = true;
    container.hasState(found.State);
  });
  if (!isThere) container.hasState(null);
}

/** Tries until it succeeds or the container is not there; rejects with the last error. */
async function persistently(
  { call }: DockerConnection,
  body: (abortSignal: AbortSignal) => Promise<void>,
): Promise<void> {
  const deadlineMs = performance.now() + OUTAGE_LIMIT_MS;
  for (;;) {
    try {
      await call(body, CALL_LIMIT_MS);
      return;
    } catch (error) {
      if (faultOf(error).status === 404) return;
      if (performance.now() >= deadlineMs) throw error;
      await sleep(RETRY_MS);
    }
  }
}

async function endsWithin(
  connection: DockerConnection,
  container: EndingContainer,
  limitMs: number,
  hurry: AbortSignal,
): Promise<void> {
  const deadlineMs = performance.now() + limitMs;
  while (container.isRunning() && !hurry.aborted && performance.now() < deadlineMs) {
    const waitMs = Math.max(1, Math.min(LOOK_EVERY_MS, deadlineMs - performance.now()));
    const over = new AbortController();
    const abortSignal = AbortSignal.any([hurry, over.signal]);
    await Promise.race([
      container.exited,
      sleep(waitMs, undefined, { signal: abortSignal }).catch(() => undefined),
    ]);
    over.abort();
    if (container.isRunning() && !hurry.aborted) await look(connection, container).catch(() => undefined);
  }
}
