/** Images of engines: there, or pulled with progress, or a failure that says what to do. */
import type { DockerConfig } from '../../config/resolved-config.ts';
import type { Log } from '../../telemetry/log.ts';
import type { PrepareOptions } from '../runtime.ts';
import type { DockerConnection } from './connection.ts';
import { withSignal } from './connection.ts';
import { faultOf } from './docker-fault.ts';
import { pullImage } from './image-pull.ts';
import type { LaunchFailure } from './launch-failure.ts';
import { unreachableFailure } from './launch-failure.ts';
import { imageMissing, pullFailureOf } from './pull-failure.ts';

export type ImageResult = { readonly kind: 'present'; readonly imageId: string } | LaunchFailure;

export interface Images {
  /** For a launch, which holds devices: what is there is taken, and nothing is pulled. Never rejects. */
  find(image: string): Promise<ImageResult>;
  /** Before a launch: pulls what is not there where that is allowed; with `pull: always` the newest. Never rejects. */
  prepare(image: string, options: PrepareOptions): Promise<ImageResult>;
}

/** A pull that several wait for; it is given up when nobody does any more. */
interface SharedPull {
  readonly result: Promise<ImageResult>;
  readonly over: AbortController;
  readonly listeners: Set<PrepareOptions['onProgress']>;
  waiting: number;
}

/** `closed` ends all pulls. */
export function createImages(
  connection: DockerConnection,
  policy: DockerConfig['pull'],
  environment: NodeJS.ProcessEnv,
  closed: AbortSignal,
  log: Log,
): Images {
  const pulls = new Map<string, SharedPull>();

  const pull = async (
    image: string,
    shared: Pick<SharedPull, 'over' | 'listeners'>,
  ): Promise<ImageResult> => {
    try {
      await pullImage(connection, image, {
        environment,
        log,
        signal: AbortSignal.any([closed, shared.over.signal]),
        onProgress: (done, total) => {
          for (const listener of shared.listeners) listener(done, total);
        },
      });
      const imageId = await imageIdOf(connection, image);
      return imageId === null
        ? imageMissing(image, 'was pulled and is not there')
        : { kind: 'present', imageId };
    } catch (error) {
      return failureOf(connection.host, image, error);
    }
  };

  const join = (image: string): SharedPull => {
    const found = pulls.get(image);
    if (found !== undefined && !found.over.signal.aborted) return found;
    const shared = { over: new AbortController(), listeners: new Set<PrepareOptions['onProgress']>() };
    const begun = { ...shared, result: pull(image, shared), waiting: 0 };
    pulls.set(image, begun);
    void begun.result.then(() => {
      if (pulls.get(image) === begun) pulls.delete(image);
    });
    return begun;
  };

  const waitFor = async (image: string, options: PrepareOptions): Promise<ImageResult> => {
    if (options.signal.aborted) return imageMissing(image, 'is not wanted any more');
    const shared = join(image);
    shared.waiting += 1;
    shared.listeners.add(options.onProgress);
    const left = Promise.withResolvers<ImageResult>();
    const leave = (): void => left.resolve(imageMissing(image, 'is not wanted any more'));
    options.signal.addEventListener('abort', leave, { once: true });
    try {
      return await Promise.race([shared.result, left.promise]);
    } finally {
      options.signal.removeEventListener('abort', leave);
      shared.listeners.delete(options.onProgress);
      shared.waiting -= 1;
      if (shared.waiting === 0) shared.over.abort();
    }
  };

  const present = async (image: string): Promise<ImageResult | null> => {
    const imageId = await imageIdOf(connection, image);
    return imageId === null ? null : { kind: 'present', imageId };
  };

  const find = async (image: string): Promise<ImageResult> => {
    try {
      return (await present(image)) ?? imageMissing(image, 'is not there any more');
    } catch (error) {
      return failureOf(connection.host, image, error);
    }
  };

  const prepare = async (image: string, options: PrepareOptions): Promise<ImageResult> => {
    try {
      const before = await present(image);
      if (before !== null && policy !== 'always') return before;
      if (policy === 'never') {
        return imageMissing(image, 'is not there, and `runtime.docker.pull` is `never`');
      }
      const pulled = await waitFor(image, options);
      if (before === null || pulled.kind === 'present') return pulled;
      // An older image serves better than none, for as long as the registry is away.
      log('warn', `${pulled.detail}; the one that is there is used`);
      return before;
    } catch (error) {
      return failureOf(connection.host, image, error);
    }
  };
  return { find, prepare };
}

async function imageIdOf({ docker, call }: DockerConnection, image: string): Promise<string | null> {
  try {
    return (await call((abortSignal) => docker.getImage(image).inspect(withSignal({}, abortSignal)))).Id;
  } catch (error) {
    if (faultOf(error).status === 404) return null;
    throw error;
  }
}

function failureOf(host: string, image: string, error: unknown): LaunchFailure {
  const fault = faultOf(error);
  if (fault.isUnreachable && fault.status === null) return unreachableFailure(host, fault);
  return pullFailureOf(image, fault.text);
}
