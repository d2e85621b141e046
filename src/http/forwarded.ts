/**
 * Who the client is where reverse proxies stand in front, and what engines are told of it.
 *
 * 1. Only what our own proxies wrote is believed: each appends one entry at a list's end, so the entries from the
 *    `trusted_hops`-th from the end on are theirs. Whatever stands before is the client's own and goes no further.
 * 2. Engines get exactly one X-Forwarded-For, -Proto and -Host of ours. `Forwarded`, `Via` and other X-Forwarded-*
 *    are neither believed nor passed on: two ways to say the same could differ.
 */

/** What a connection itself tells. */
export interface Peer {
  /** Empty for a Unix socket, whose peer has none. */
  readonly address: string;
  readonly secure: boolean;
}

const FOR = 'x-forwarded-for';
const PROTO = 'x-forwarded-proto';
const HOST = 'x-forwarded-host';
const PROTO_VALUE = /^(https?|wss?)$/i;
const HOST_VALUE = /^[A-Za-z0-9._~%!$&'()*+;=:[\]-]{1,255}$/;
/** An address, its port, brackets and zone, or a token as proxies write for clients that they do not tell. */
const ADDRESS_VALUE = /^[A-Za-z0-9._:[\]%-]{1,100}$/;
/** What is told of a client that has no address. */
const NO_ADDRESS = 'unix';

/** Appends our X-Forwarded-* headers. `host` is the request's Host. */
export function pushForwarded(
  headers: string[],
  rawHeaders: readonly string[],
  peer: Peer,
  host: string | null,
  trustedHops: number,
): void {
  const own = peer.address === '' ? NO_ADDRESS : peer.address;
  const ownProto = peer.secure ? 'https' : 'http';
  if (trustedHops === 0) {
    headers.push(FOR, own, PROTO, ownProto);
    if (host !== null) headers.push(HOST, host);
    return;
  }
  const chain = trustedEntries(rawHeaders, FOR, trustedHops, ADDRESS_VALUE);
  headers.push(FOR, chain.length === 0 ? own : `${chain.join(', ')}, ${own}`);
  headers.push(
    PROTO,
    trustedEntries(rawHeaders, PROTO, trustedHops, PROTO_VALUE)[0]?.toLowerCase() ?? ownProto,
  );
  const told = trustedEntries(rawHeaders, HOST, trustedHops, HOST_VALUE)[0] ?? host;
  if (told !== null) headers.push(HOST, told);
}

/** The client's address for logs: as our proxies tell it, else the connection's. Null: it has none. */
export function clientAddress(rawHeaders: readonly string[], peer: Peer, trustedHops: number): string | null {
  const told = trustedHops === 0 ? undefined : trustedEntries(rawHeaders, FOR, trustedHops, ADDRESS_VALUE)[0];
  return told ?? (peer.address === '' ? null : peer.address);
}

/**
 * The entries that our proxies wrote, the client's first. One that is not as it should be ends the list: what stands
 * before it is not ours to judge.
 */
function trustedEntries(
  rawHeaders: readonly string[],
  name: string,
  trustedHops: number,
  valid: RegExp,
): readonly string[] {
  let list = '';
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const written = rawHeaders[index] as string;
    if (written.length !== name.length || written.toLowerCase() !== name) continue;
    list = list === '' ? (rawHeaders[index + 1] as string) : `${list},${rawHeaders[index + 1]}`;
  }
  if (list === '') return [];
  const entries = list.split(',').slice(-trustedHops);
  const from = entries.findLastIndex((entry) => !valid.test(entry.trim()));
  return entries.slice(from + 1).map((entry) => entry.trim());
}
