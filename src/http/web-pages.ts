/**
 * Keeps web pages of strangers away from a gateway that asks for no keys: a page in the reader's browser reaches
 * addresses that its author cannot. Where keys are configured none of this is needed, because a page has none.
 *
 * 1. A name that a stranger can register is no Host of a gateway on a loopback address: a page whose name is pointed at
 *    127.0.0.1 after it was loaded (DNS rebinding) counts as ours for the browser.
 * 2. A request that a page of another host sends, whatever its method, starts no engine.
 */

import { isIP } from 'node:net';
import type { Refusal } from '../core/errors.ts';
import { clipped } from './clipped.ts';
import type { RequestHead } from './request-checks.ts';

type PageHead = Pick<RequestHead, 'host' | 'origin' | 'fetchSite'>;

/** What of a header an error repeats. */
const ECHO_CHARS_MAX = 100;
/** Names below these cannot be registered by strangers (RFC 6761, and the domain reserved for private networks). */
const PRIVATE_DOMAINS = ['.localhost', '.internal'] as const;

/** Judges the Host of any request to a gateway on a loopback address. */
export function checkHost(host: string | null): Refusal | null {
  if (host === null || isPrivateHost(hostName(host))) return null;
  return { code: 'host_forbidden', parameters: { host: clipped(host, ECHO_CHARS_MAX) } };
}

/** Judges who sent a request that may start an engine. */
export function checkPage({ host, origin, fetchSite }: PageHead): Refusal | null {
  if (origin === null) {
    if (fetchSite?.toLowerCase() !== 'cross-site') return null;
    return { code: 'page_forbidden', parameters: { origin: 'another site' } };
  }
  // Applications and editors have schemes of their own, which no page can have.
  const web = /^https?:\/\/(.*)$/i.exec(origin)?.[1];
  if (web === undefined && origin.toLowerCase() !== 'null') return null;
  if (web !== undefined && host !== null && hostName(web) === hostName(host)) return null;
  return { code: 'page_forbidden', parameters: { origin: clipped(origin, ECHO_CHARS_MAX) } };
}

/** Is this address one that only programs of the same machine reach? */
export function isLoopbackAddress(address: string): boolean {
  return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.');
}

/** Without the port; an IPv6 address without its brackets. */
function hostName(host: string): string {
  const lower = host.trim().toLowerCase();
  if (lower.startsWith('[')) return lower.slice(1, Math.max(1, lower.indexOf(']')));
  const colon = lower.indexOf(':');
  return colon < 0 ? lower : lower.slice(0, colon);
}

function isPrivateHost(name: string): boolean {
  // A name without a dot comes from the machine's own files or its own network.
  if (!name.includes('.') || isIP(name) !== 0) return true;
  return PRIVATE_DOMAINS.some((domain) => name.endsWith(domain));
}
