import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UPLOAD_GRACE_MS, uploadFault } from './upload-rate.ts';

const at = (seconds: number): number => UPLOAD_GRACE_MS + seconds * 1000;

test('time counts from the end of the grace, and the average decides', () => {
  const upload = (uploadedBytes: number) => ({ startedMs: 0, uploadedBytes });
  assert.equal(uploadFault(upload(0), UPLOAD_GRACE_MS, 256), null);
  assert.equal(uploadFault(upload(0), at(0.001), 256)?.code, 'body_too_slow');
  assert.equal(uploadFault(upload(2560), at(10), 256), null);
  assert.equal(uploadFault(upload(2559), at(10), 256)?.parameters['bytesPerS'], 256);
  assert.equal(uploadFault(upload(0), at(1e6), 0), null, '0: whatever its rate');
});
