import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientAddress, pushForwarded } from './forwarded.ts';

const PEER = { address: '10.0.0.9', secure: false };

interface Case {
  readonly name: string;
  readonly hops: number;
  readonly headers: readonly string[];
  /** X-Forwarded-For, -Proto and -Host for the engine. */
  readonly told: readonly [string, string, string];
  readonly client: string;
}

const CASES: readonly Case[] = [
  { name: 'nothing in front', hops: 0, headers: [], told: ['10.0.0.9', 'http', 'gw'], client: '10.0.0.9' },
  {
    name: 'what a client claims is not believed',
    hops: 0,
    headers: ['X-Forwarded-For', '1.1.1.1', 'X-Forwarded-Proto', 'https', 'X-Forwarded-Host', 'a.example'],
    told: ['10.0.0.9', 'http', 'gw'],
    client: '10.0.0.9',
  },
  {
    name: 'one proxy appends the client',
    hops: 1,
    headers: [
      'x-forwarded-for',
      '6.6.6.6, 2.2.2.2',
      'x-forwarded-proto',
      'https',
      'x-forwarded-host',
      'a.example',
    ],
    told: ['2.2.2.2, 10.0.0.9', 'https', 'a.example'],
    client: '2.2.2.2',
  },
  {
    name: 'two proxies, the list in two headers',
    hops: 2,
    headers: ['X-Forwarded-For', '6.6.6.6, 2001:db8::1', 'X-Forwarded-For', '10.0.0.8'],
    told: ['2001:db8::1, 10.0.0.8, 10.0.0.9', 'http', 'gw'],
    client: '2001:db8::1',
  },
  {
    name: 'fewer entries than hops',
    hops: 3,
    headers: ['X-Forwarded-For', '2.2.2.2'],
    told: ['2.2.2.2, 10.0.0.9', 'http', 'gw'],
    client: '2.2.2.2',
  },
  {
    name: 'a proxy that tells nothing',
    hops: 1,
    headers: ['Forwarded', 'for=6.6.6.6;proto=https'],
    told: ['10.0.0.9', 'http', 'gw'],
    client: '10.0.0.9',
  },
  {
    name: 'rubbish ends what is believed',
    hops: 2,
    headers: [
      'X-Forwarded-For',
      '<script>, 10.0.0.8',
      'X-Forwarded-Proto',
      'gopher',
      'X-Forwarded-Host',
      'a b',
    ],
    told: ['10.0.0.8, 10.0.0.9', 'http', 'gw'],
    client: '10.0.0.8',
  },
  {
    name: 'rubbish at the end',
    hops: 1,
    headers: ['X-Forwarded-For', '2.2.2.2,'],
    told: ['10.0.0.9', 'http', 'gw'],
    client: '10.0.0.9',
  },
];

test('the client is who our own proxies say, and engines get one of each header', () => {
  for (const { name, hops, headers, told, client } of CASES) {
    const out: string[] = [];
    pushForwarded(out, headers, PEER, 'gw', hops);
    const [forwardedFor, proto, host] = told;
    assert.deepEqual(
      out,
      ['x-forwarded-for', forwardedFor, 'x-forwarded-proto', proto, 'x-forwarded-host', host],
      name,
    );
    assert.equal(clientAddress(headers, PEER, hops), client, name);
  }
});

test('a Unix socket has no address, HTTPS says so, HTTP/1.0 may have no host', () => {
  const out: string[] = [];
  pushForwarded(out, [], { address: '', secure: true }, null, 0);
  assert.deepEqual(out, ['x-forwarded-for', 'unix', 'x-forwarded-proto', 'https']);
  assert.equal(clientAddress([], { address: '', secure: false }, 0), null);
  const proxied = ['x-forwarded-for', '2.2.2.2'];
  assert.equal(clientAddress(proxied, { address: '', secure: false }, 1), '2.2.2.2');
});
