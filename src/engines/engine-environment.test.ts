import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviceEnvironment } from './engine-environment.ts';

test('engines see their devices in the variable that the vendor takes ids in, and nothing on the host', () => {
  const deviceIds = ['GPU-1', 'GPU-2'];
  assert.deepEqual(deviceEnvironment({ deviceIds, deviceSource: 'nvidia' }), {
    CUDA_VISIBLE_DEVICES: 'GPU-1,GPU-2',
  });
  assert.deepEqual(deviceEnvironment({ deviceIds, deviceSource: 'amd' }), {
    ROCR_VISIBLE_DEVICES: 'GPU-1,GPU-2',
  });
  assert.deepEqual(deviceEnvironment({ deviceIds: [], deviceSource: 'host' }), {});
});
