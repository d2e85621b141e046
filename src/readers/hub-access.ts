/**
 * How this machine reaches a hub, by the variables that Hugging Face's own tools read: HF_ENDPOINT (a mirror), HF_TOKEN or the
 * file that a login left, HF_HUB_OFFLINE, HF_HOME and HF_HUB_CACHE, and the proxies of every tool.
 */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Environment } from '../config/environment.ts';

export interface HubAccess {
  /** Origin and path, without a closing slash and without a user; null: what is configured is no address of a hub. */
  readonly endpoint: string | null;
  /**
   * User and password of an endpoint `http://user:password@mirror`, as Basic authentication has them. A secret: sent to the
   * endpoint's origin alone, never logged. It is sent instead of the token, as by Hugging Face's own tools: it was written
   * for this server, and the token may be that of a login elsewhere.
   */
  readonly credentials: string | null;
  /** A secret: sent to the endpoint's origin alone, never logged. */
  readonly token: string | null;
  readonly isOffline: boolean;
  /** Where snapshots lie: `models--owner--name`. */
  readonly cacheDirectory: string;
  readonly httpProxy: string | null;
  readonly httpsProxy: string | null;
  readonly noProxy: string | null;
}

/** With an address that can be asked. */
export type ReachableHub = HubAccess & { readonly endpoint: string };

const DEFAULT_ENDPOINT = 'https://huggingface.co';
const TOKEN_CHARS_MAX = 4096;

export async function hubAccess(environment: Environment): Promise<HubAccess> {
  return {
    ...endpointOf(told(environment, 'HF_ENDPOINT') ?? DEFAULT_ENDPOINT),
    token:
      told(environment, 'HF_TOKEN') ??
      told(environment, 'HUGGING_FACE_HUB_TOKEN') ??
      (await tokenFile(told(environment, 'HF_TOKEN_PATH') ?? join(huggingFaceHome(environment), 'token'))),
    isOffline: isYes(environment.HF_HUB_OFFLINE) || isYes(environment.TRANSFORMERS_OFFLINE),
    cacheDirectory: hubCacheDirectory(environment),
    httpProxy: told(environment, 'http_proxy') ?? told(environment, 'HTTP_PROXY') ?? null,
    httpsProxy: told(environment, 'https_proxy') ?? told(environment, 'HTTPS_PROXY') ?? null,
    noProxy: told(environment, 'no_proxy') ?? told(environment, 'NO_PROXY') ?? null,
  };
}

function endpointOf(text: string): Pick<HubAccess, 'endpoint' | 'credentials'> {
  const url = URL.parse(text);
  // Where nothing is an address, nothing tells what of it is secret.
  if (url === null || !/^https?:$/.test(url.protocol)) return { endpoint: null, credentials: null };
  const { origin, pathname, username, password } = url;
  const user = `${decoded(username)}:${decoded(password)}`;
  return {
    endpoint: `${origin}${pathname}`.replace(/\/+$/, ''),
    credentials: user === ':' ? null : Buffer.from(user).toString('base64'),
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Where snapshots of repositories lie. */
export function hubCacheDirectory(environment: Environment): string {
  return (
    told(environment, 'HF_HUB_CACHE') ??
    told(environment, 'HUGGINGFACE_HUB_CACHE') ??
    join(huggingFaceHome(environment), 'hub')
  );
}

/** Hugging Face's own directory, in which cache and token lie. */
function huggingFaceHome(environment: Environment): string {
  return told(environment, 'HF_HOME') ?? join(cacheHome(environment), 'huggingface');
}

function told(environment: Environment, name: string): string | undefined {
  const value = environment[name]?.trim();
  return value === '' ? undefined : value;
}

function isYes(value: string | undefined): boolean {
  return /^(1|true|yes|on)$/i.test(value ?? '');
}

function cacheHome(environment: Environment): string {
  return told(environment, 'XDG_CACHE_HOME') ?? join(told(environment, 'HOME') ?? homedir(), '.cache');
}

async function tokenFile(path: string): Promise<string | null> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const token = text.trim();
  return token === '' || token.length > TOKEN_CHARS_MAX ? null : token;
}
