import assert from 'node:assert/strict';
import { test } from 'node:test';
import { meantNetwork } from './own-container.ts';

test('a network of Compose is found by the name that its file says', () => {
  const own = { networks: ['bridge', 'shop_vllm_network'] };
  assert.equal(meantNetwork('vllm_network', own), 'shop_vllm_network');
  assert.equal(
    meantNetwork('vllm_network', { networks: ['vllm_network', 'shop_vllm_network'] }),
    'vllm_network',
  );
  assert.equal(meantNetwork('vllm_network', null), 'vllm_network');
  assert.equal(meantNetwork(null, own), null);
});
