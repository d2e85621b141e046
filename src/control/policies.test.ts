import assert from 'node:assert/strict';
import { test } from 'node:test';
import { modelFixture } from '../engines/engine-fixtures.ts';
import { launchSignature } from './policies.ts';

test('a launch is another one with other adapters', () => {
  const signatures = [{}, { poet: '/a' }, { poet: '/b' }].map((adapters) =>
    launchSignature(modelFixture({ adapters })),
  );
  assert.equal(new Set(signatures).size, 3);
});
