import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failure, success } from '../../core/result.ts';
import type { ReachFacts } from './reach.ts';
import { decideReach } from './reach.ts';

const SHARED = success(undefined);
const APART = failure('Docker runs on another kernel (a virtual machine, or another host)');
const BRIDGED = { isOnHostNetwork: false };
const ON_HOST_NETWORK = { isOnHostNetwork: true };

function decide(changed: Partial<ReachFacts>): string {
  const facts = { wanted: 'auto', isInContainer: false, own: null, isLocal: true, sockets: SHARED } as const;
  const decided = decideReach({ ...facts, ...changed });
  if (!decided.ok) return `error: ${decided.error}`;
  const { unix, tcp, exposure } = decided.value;
  return `${unix ?? '-'} ${tcp ?? '-'} ${exposure === '' ? 'private' : 'exposed'}`;
}

test('sockets where there can be any, then a network of ours, then a port', () => {
  const table: readonly (readonly [Partial<ReachFacts>, string])[] = [
    [{}, 'socket port exposed'],
    [{ isInContainer: true, own: BRIDGED }, 'socket network private'],
    [{ isInContainer: true, own: ON_HOST_NETWORK }, 'socket port exposed'],
    [{ isInContainer: true }, 'socket - private'],
    [{ sockets: APART }, '- port exposed'],
    [{ sockets: APART, isInContainer: true, own: BRIDGED }, '- network private'],
    [{ sockets: APART, isInContainer: true, own: ON_HOST_NETWORK }, '- port exposed'],
    [{ sockets: APART, isInContainer: true, own: BRIDGED, isLocal: false }, '- network private'],
    [{ wanted: 'port' }, '- port exposed'],
    [{ wanted: 'network', isInContainer: true, own: BRIDGED }, '- network private'],
    [{ wanted: 'socket' }, 'socket port exposed'],
  ];
  for (const [facts, wanted] of table) assert.equal(decide(facts), wanted, JSON.stringify(facts));
});

test('what cannot be is refused in a sentence with the remedy', () => {
  const table: readonly (readonly [Partial<ReachFacts>, RegExp])[] = [
    [{ wanted: 'socket', sockets: APART }, /`socket`, and .*another kernel/],
    [{ wanted: 'network' }, /in no container of this Docker \(GATEWAY_CONTAINER_NAME\)/],
    [{ wanted: 'port', isInContainer: true, own: BRIDGED }, /cannot be reached from here: use `auto`/],
    [{ sockets: APART, isLocal: false }, /on another host\. Sockets: .* Run the gateway there/],
    [{ sockets: APART, isInContainer: true }, /that this Docker does not know.*GATEWAY_CONTAINER_NAME/],
  ];
  for (const [facts, wanted] of table) assert.match(decide(facts), wanted);
});
