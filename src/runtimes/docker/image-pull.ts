/** One pull of one image, with its limit and its progress. */
import type { Readable } from 'node:stream';
import { addAbortSignal } from 'node:stream';
import type { Log } from '../../telemetry/log.ts';
import type { PrepareOptions } from '../runtime.ts';
import type { DockerConnection } from './connection.ts';
import { jsonLines } from './json-lines.ts';
import { createPullProgress } from './pull-progress.ts';
import { credentialsFor } from './registry-credentials.ts';

/** A pull in which nothing happens for so long is given up. */
const STALL_LIMIT_MS = 5 * 60_000;
/** How often the log hears of a pull. */
const LOG_EVERY_MS = 10_000;

export interface PullOptions extends PrepareOptions {
  readonly environment: NodeJS.ProcessEnv;
  readonly log: Log;
}

/** Rejects with the daemon's words, or with why it was given up. */
export async function pullImage(
  { docker }: DockerConnection,
  image: string,
  { environment, log, signal, onProgress }: PullOptions,
): Promise<void> {
  const authconfig = await credentialsFor(image, environment);
  const stalled = new AbortController();
  const stallTimer = setTimeout(() => stalled.abort(), STALL_LIMIT_MS);
  const abortSignal = AbortSignal.any([signal, stalled.signal]);
  const progress = createPullProgress();
  let loggedAtMs = performance.now();
  log('info', `pulling image ${image}`);
  try {
    // Without a tag Docker would pull all of them.
    const stream = await docker.pull(withTag(image), { abortSignal, ...(authconfig && { authconfig }) });
    for await (const event of jsonLines(addAbortSignal(abortSignal, stream as Readable))) {
      stallTimer.refresh();
      const error = errorIn(event);
      if (error !== null) throw new Error(error);
      progress.take(event);
      onProgress(progress.bytesDone(), progress.bytesTotal());
      if (performance.now() - loggedAtMs < LOG_EVERY_MS) continue;
      loggedAtMs = performance.now();
      log('info', `pulling image ${image}: ${progress.text()}`);
    }
    log('info', `image ${image} is there: ${progress.text()}`);
  } catch (error) {
    if (signal.aborted) throw new Error('it was given up');
    if (stalled.signal.aborted) throw new Error(`nothing came for ${STALL_LIMIT_MS / 1000} s: timed out`);
    throw error;
  } finally {
    clearTimeout(stallTimer);
  }
}

export function withTag(image: string): string {
  const last = image.slice(image.lastIndexOf('/') + 1);
  return last.includes(':') || image.includes('@') ? image : `${image}:latest`;
}

/** The answer has begun with 200 when the pull fails, so the failure is one of its lines. */
function errorIn(event: unknown): string | null {
  if (typeof event !== 'object' || event === null || !('error' in event)) return null;
  return typeof event.error === 'string' ? event.error : JSON.stringify(event.error);
}
