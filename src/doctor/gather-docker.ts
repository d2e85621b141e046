/** What the Docker engine tells of itself, of the images that models need, and of our own container. It is only asked. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ResolvedConfig } from '../config/resolved-config.ts';
import { type DockerConnection, openDockerConnection } from '../runtimes/docker/connection.ts';
import { faultOf } from '../runtimes/docker/docker-fault.ts';
import { findOwnContainer, readSurroundings } from '../runtimes/docker/own-container.ts';
import type { DockerFacts } from './machine-facts.ts';

const CALL_LIMIT_MS = 10_000;

/** What of ours must outlive our container, in words and by its path. */
export interface KeptPlace {
  readonly use: string;
  readonly path: string;
}

export async function dockerFacts(
  { runtime, models }: ResolvedConfig,
  kept: readonly KeptPlace[],
  environment: NodeJS.ProcessEnv,
): Promise<DockerFacts> {
  const { host, image, pull } = runtime.docker;
  const wanted = [...models.values()].flatMap((model) => (model.url === null ? [model.image ?? image] : []));
  const opened = await openDockerConnection(host, environment);
  if (!opened.ok) return failed(host, opened.error);
  const connection = opened.value;
  try {
    const [version, info] = await Promise.all([
      inTime(connection.docker.version()),
      inTime(connection.docker.info()),
    ]);
    return {
      host,
      engine: { kind: 'answered', version: version.Version, hasNvidia: hasNvidia(info) },
      pull,
      missingImages: await missingImages(connection, [...new Set(wanted)]),
      ...(await ownFacts(connection, runtime.docker.gatewayContainer, kept)),
    };
  } catch (error) {
    return failed(host, faultOf(error).text);
  }
}

function failed(host: string, text: string): DockerFacts {
  const engine = { kind: 'failed', text } as const;
  return { host, engine, pull: 'missing', missingImages: [], ownContainer: null, unmounted: [] };
}

/** The toolkit registers a runtime, or writes device specifications that the engine lists; its older hook shows nowhere. */
function hasNvidia(info: unknown): boolean {
  const text = JSON.stringify(info);
  return /"nvidia"|nvidia\.com\/gpu/.test(text);
}

async function missingImages(
  { docker }: DockerConnection,
  images: readonly string[],
): Promise<readonly string[]> {
  const missing: string[] = [];
  for (const image of images) {
    try {
      await inTime(docker.getImage(image).inspect());
    } catch (error) {
      if (faultOf(error).status !== 404) throw error;
      missing.push(image);
    }
  }
  return missing;
}

async function ownFacts(
  connection: DockerConnection,
  configuredName: string | null,
  kept: readonly KeptPlace[],
): Promise<Pick<DockerFacts, 'ownContainer' | 'unmounted'>> {
  const own = await findOwnContainer(connection, configuredName, readSurroundings());
  if (own === null) return { ownContainer: null, unmounted: [] };
  const isMounted = ({ path }: KeptPlace): boolean =>
    own.mounts.some(
      ({ target, source }) => source !== null && `${path}/`.startsWith(`${target.replace(/\/$/, '')}/`),
    );
  return { ownContainer: own.name, unmounted: kept.filter((place) => !isMounted(place)) };
}

/** The library's types take no signal for these calls; what comes late is not heeded. */
async function inTime<T>(answer: Promise<T>): Promise<T> {
  const limit = new AbortController();
  const late = async (): Promise<never> => {
    await sleep(CALL_LIMIT_MS, undefined, { signal: limit.signal });
    throw new Error(`no answer within ${CALL_LIMIT_MS / 1000} s`);
  };
  try {
    return await Promise.race([answer, late()]);
  } finally {
    limit.abort();
  }
}
