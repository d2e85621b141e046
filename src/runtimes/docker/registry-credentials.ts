/** What `docker login` left for a registry, so that images of private ones can be pulled. Helpers are not asked. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { AuthConfig } from 'dockerode';

const DEFAULT_REGISTRY = 'https://index.docker.io/v1/';

/** Undefined where nothing is known. Secrets: never logged. */
export async function credentialsFor(
  image: string,
  environment: NodeJS.ProcessEnv,
): Promise<AuthConfig | undefined> {
  const directory = environment.DOCKER_CONFIG ?? join(homedir(), '.docker');
  const registry = registryOf(image);
  try {
    const parsed: unknown = JSON.parse(await readFile(join(directory, 'config.json'), 'utf8'));
    const { auths } = parsed as { readonly auths?: Readonly<Record<string, { readonly auth?: unknown }>> };
    const found = auths?.[registry]?.auth ?? auths?.[`https://${registry}`]?.auth;
    if (typeof found !== 'string') return undefined;
    const [username = '', ...password] = Buffer.from(found, 'base64').toString('utf8').split(':');
    return { username, password: password.join(':'), serveraddress: registry };
  } catch {
    return undefined;
  }
}

/** The first part of a name is a registry when it looks like a host: with a dot or a port, or `localhost`. */
export function registryOf(image: string): string {
  const [first = '', ...rest] = image.split('/');
  const isHost = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  return isHost ? first : DEFAULT_REGISTRY;
}
