/** Images of engines: there, or pulled with progress, or a failure that says what to do. */
import type { Readable } from 'node:stream';
import type { DockerConfig } from '../../config/resolved-config.ts';
import type { Log } from '../../telemetry/log.ts';
import type { LaunchResult } from '../runtime.ts';
import type { DockerConnection } from './connection.ts';
import { withSignal } from './connection.ts';
import { faultOf } from './docker-fault.ts';
import { unreachableFailure } from './launch-failure.ts';
import { createPullProgress } from './pull-progress.ts';
import { credentialsFor, registryOf } from './registry-credentials.ts';

/** A pull in which nothing happens for so long is given up. */
const STALL_LIMIT_MS = 5 * 60_000;
/** How often the log hears of a pull. */
const PROGRESS_EVERY_MS = 5_000;

export type LaunchFailure = Extract<LaunchResult, { readonly kind: 'failed' }>;

export type ImageResult = { readonly kind: 'present'; readonly imageId: string } | LaunchFailure;

export interface Images {
  /** Callers for one image at the same time share one pull. `signal` gives it up for all of them. */
  ensure(image: string): Promise<ImageResult>;
}

export function createImages(
  connection: DockerConnection,
  policy: DockerConfig['pull'],
  environment: NodeJS.ProcessEnv,
  signal: AbortSignal,
  log: Log,
): Images {
  const underWay = new Map<string, Promise<ImageResult>>();
  const ensure = async (image: string): Promise<ImageResult> => {
    try {
      const present = policy === 'always' ? null : await imageIdOf(connection, image);
      if (present !== null) return { kind: 'present', imageId: present };
      if (policy === 'never') return missing(image, 'is not there, and `runtime.docker.pull` is `never`');
      await pull(connection, image, environment, signal, log);
      const pulled = await imageIdOf(connection, image);
      return pulled === null
        ? missing(image, 'was pulled and is not there')
        : { kind: 'present', imageId: pulled };
    } catch (error) {
      return pullFailure(connection, image, error);
    }
  };
  return {
    ensure(image) {
      const found = underWay.get(image);
      if (found !== undefined) return found;
      const result = ensure(image).finally(() => underWay.delete(image));
      underWay.set(image, result);
      return result;
    },
  };
}

async function imageIdOf({ docker, call }: DockerConnection, image: string): Promise<string | null> {
  try {
    return (await call((abortSignal) => docker.getImage(image).inspect(withSignal({}, abortSignal)))).Id;
  } catch (error) {
    if (faultOf(error).status === 404) return null;
    throw error;
  }
}

async function pull(
  { docker }: DockerConnection,
  image: string,
  environment: NodeJS.ProcessEnv,
  signal: AbortSignal,
  log: Log,
): Promise<void> {
  const authconfig = await credentialsFor(image, environment);
  const stalled = new AbortController();
  const stallTimer = setTimeout(() => stalled.abort(), STALL_LIMIT_MS);
  const abortSignal = AbortSignal.any([signal, stalled.signal]);
  const progress = createPullProgress();
  let saidAtMs = Number.NEGATIVE_INFINITY;
  log('info', `pulling image ${image}`);
  try {
    // Without a tag Docker would pull all of them.
    const stream = await docker.pull(withTag(image), { abortSignal, ...(authconfig && { authconfig }) });
    await new Promise<void>((resolve, reject) => {
      abortSignal.addEventListener('abort', () => {
        (stream as Readable).destroy();
        reject(
          new Error(stalled.signal.aborted ? `nothing came for ${STALL_LIMIT_MS / 1000} s` : 'given up'),
        );
      });
      docker.modem.followProgress(
        stream,
        (error: Error | null) => (error === null ? resolve() : reject(error)),
        (event: unknown) => {
          stallTimer.refresh();
          progress.take(event);
          if (performance.now() - saidAtMs < PROGRESS_EVERY_MS) return;
          saidAtMs = performance.now();
          log('info', `pulling image ${image}: ${progress.text()}`);
        },
      );
    });
    log('info', `image ${image} is there (${progress.text()})`);
  } catch (error) {
    if (stalled.signal.aborted) throw new Error(`nothing came for ${STALL_LIMIT_MS / 1000} s`);
    throw error;
  } finally {
    clearTimeout(stallTimer);
  }
}

export function withTag(image: string): string {
  const last = image.slice(image.lastIndexOf('/') + 1);
  return last.includes(':') || image.includes('@') ? image : `${image}:latest`;
}

function pullFailure(connection: DockerConnection, image: string, error: unknown): LaunchFailure {
  const fault = faultOf(error);
  if (fault.isUnreachable && fault.status === null) return unreachableFailure(connection.host, fault);
  return pullFailureOf(image, fault.text);
}

/** The daemon's words about a pull, with what to do. Pure. */
export function pullFailureOf(image: string, text: string): LaunchFailure {
  if (/no space left on device|disk quota exceeded/i.test(text)) {
    return {
      kind: 'failed',
      cause: 'resources',
      detail: `image ${image} does not fit on the disk of Docker's host (${text}): make room there (\`docker system df\`)`,
    };
  }
  if (/access denied|unauthorized|authentication required|forbidden|denied:|no basic auth/i.test(text)) {
    return missing(
      image,
      `cannot be pulled: it does not exist, or this Docker may not read it (${text}). Check \`runtime.docker.image\`, or run \`docker login ${registryShown(image)}\` as the user that runs the gateway`,
    );
  }
  if (
    /manifest unknown|manifest for .* not found|not found|does not exist|no matching manifest/i.test(text)
  ) {
    return missing(image, `is not known to its registry (${text}): check its name and tag`);
  }
  if (
    /no such host|dial tcp|connection refused|timeout|timed out|TLS|x509|EOF|lookup|unreachable/i.test(text)
  ) {
    return missing(
      image,
      `cannot be pulled: its registry cannot be reached (${text}). Check the network and the proxy of Docker's daemon, or load the image there by hand and set \`runtime.docker.pull: never\``,
    );
  }
  return missing(image, `cannot be pulled: ${text}`);
}

function registryShown(image: string): string {
  const registry = registryOf(image);
  return registry.startsWith('https:') ? '' : registry;
}

function missing(image: string, what: string): LaunchFailure {
  return { kind: 'failed', cause: 'image_missing', detail: `image ${image} ${what}` };
}
