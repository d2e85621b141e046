import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPathMap } from './path-map.ts';

test('on Docker’s host a path is itself', () => {
  assert.deepEqual(createPathMap(null)('/a/../b'), { ok: true, value: '/b' });
});

test('the deepest mount counts, and only whole names', () => {
  const map = createPathMap([
    { target: '/state', source: '/srv/state/' },
    { target: '/state/deep', source: '/srv/deep' },
    { target: '/memory', source: null },
  ]);
  const found = ['/state', '/state/s/x', '/state/deep/x', '/state/deeper'].map((path) => {
    const mapped = map(path);
    return mapped.ok ? mapped.value : mapped.error;
  });
  assert.deepEqual(found, ['/srv/state/', '/srv/state/s/x', '/srv/deep/x', '/srv/state/deeper']);
  for (const [path, why] of [
    ['/states/x', /only inside/],
    ['/memory/x', /tmpfs/],
  ] as const) {
    const mapped = map(path);
    assert.ok(!mapped.ok);
    assert.match(mapped.error, why);
  }
});

test('a mount of the root counts for all', () => {
  assert.deepEqual(createPathMap([{ target: '/', source: '/srv' }])('/a/b'), { ok: true, value: '/srv/a/b' });
});
