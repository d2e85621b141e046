import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DOCKER_CONFIG } from './docker-fixtures.ts';
import type { MountInputs } from './engine-mounts.ts';
import { engineMounts, parseVolume } from './engine-mounts.ts';
import { createPathMap } from './path-map.ts';

function mountsOf(changed: Partial<MountInputs>): readonly string[] {
  const made = engineMounts({
    config: DOCKER_CONFIG,
    spec: { environment: {}, files: [] },
    hubCache: '/home/me/.cache/huggingface/hub',
    socket: null,
    toSource: createPathMap(null),
    ...changed,
  });
  if (!made.ok) return [`error: ${made.error}`];
  return made.value.mounts.map(
    ({ Type, Source, Target, ReadOnly }) => `${Type} ${Source} ${Target}${ReadOnly === true ? ' ro' : ''}`,
  );
}

const HUGGING_FACE = 'bind /home/me/.cache/huggingface/hub /root/.cache/huggingface/hub';
const COMPILE = 'volume vllm-gateway-compile-cache /var/cache/vllm-gateway';

test('an engine gets the caches, its files, its volumes and its socket directory', () => {
  assert.deepEqual(
    mountsOf({
      config: { ...DOCKER_CONFIG, volumes: ['/data:/data:ro', 'scratch:/scratch'] },
      spec: { environment: {}, files: ['/models/a', '/models/a'] },
      socket: { directory: '/state/s/l-1', target: '/run/vllm-gateway/l-1' },
    }),
    [
      HUGGING_FACE,
      COMPILE,
      'bind /data /data ro',
      'volume scratch /scratch',
      'bind /models/a /models/a ro',
      'bind /state/s/l-1 /run/vllm-gateway/l-1',
    ],
  );
});

test('of our own cache an engine gets the snapshots alone, and a place to write for the rest', () => {
  const made = engineMounts({
    config: { ...DOCKER_CONFIG, compileCache: null },
    spec: { environment: {}, files: [] },
    hubCache: '/home/me/.cache/huggingface/hub',
    socket: null,
    toSource: createPathMap(null),
  });
  assert.ok(made.ok);
  const { HF_HOME, HF_MODULES_CACHE, HF_XET_CACHE, HF_ASSETS_CACHE } = made.value.environment;
  assert.equal(HF_HOME, '/root/.cache/huggingface');
  for (const path of [HF_MODULES_CACHE, HF_XET_CACHE, HF_ASSETS_CACHE]) assert.match(path ?? '', /^\/tmp\//);
  // Where the operator names a directory, all of it is given, as it was before.
  const named = engineMounts({
    config: { ...DOCKER_CONFIG, huggingFaceCache: '/srv/hf' },
    spec: { environment: {}, files: [] },
    hubCache: '/x/hub',
    socket: null,
    toSource: createPathMap(null),
  });
  assert.ok(named.ok && named.value.environment.HF_MODULES_CACHE === undefined);
});

test('configured caches are Docker’s host’s, and HF_HOME of the model says where they go', () => {
  const config = { ...DOCKER_CONFIG, huggingFaceCache: '/srv/hf', compileCache: '/srv/compile' };
  assert.deepEqual(mountsOf({ config, spec: { environment: { HF_HOME: '/hf' }, files: [] } }), [
    'bind /srv/hf /hf',
    'bind /srv/compile /var/cache/vllm-gateway',
  ]);
});

test('snapshots that lie elsewhere are given too, unless the cache is one of Docker’s host', () => {
  const hubCache = '/data/hub';
  assert.deepEqual(mountsOf({ hubCache }), ['bind /data/hub /root/.cache/huggingface/hub', COMPILE]);
  const config = { ...DOCKER_CONFIG, huggingFaceCache: '/srv/hf' };
  assert.deepEqual(mountsOf({ hubCache, config }), ['bind /srv/hf /root/.cache/huggingface', COMPILE]);
});

test('another user than root gets places where it may go', () => {
  assert.deepEqual(mountsOf({ config: { ...DOCKER_CONFIG, user: '1000' } }), [
    'bind /home/me/.cache/huggingface/hub /var/cache/huggingface/hub',
  ]);
});

test('paths of a gateway in a container are found through its mounts, or named with the remedy', () => {
  const toSource = createPathMap([
    { target: '/state', source: '/var/lib/docker/volumes/state/_data' },
    { target: '/home/me/.cache/huggingface', source: '/srv/hf' },
  ]);
  const socket = { directory: '/state/s/l-1', target: '/run/vllm-gateway/l-1' };
  assert.deepEqual(mountsOf({ toSource, socket }), [
    'bind /srv/hf/hub /root/.cache/huggingface/hub',
    COMPILE,
    'bind /var/lib/docker/volumes/state/_data/s/l-1 /run/vllm-gateway/l-1',
  ]);
  const [error = ''] = mountsOf({ toSource, spec: { environment: {}, files: ['/models/a'] } });
  assert.match(error, /cannot be given \/models\/a: .* only inside of the gateway's own container: mount/);
  const [cache = ''] = mountsOf({ toSource, hubCache: '/elsewhere/hub' });
  assert.match(cache, /Hugging Face cache: .*HOST_CACHE_DIR/);
});

test('what is no volume is refused', () => {
  for (const text of ['', '/a', 'a:b', '/a:/b:rx', '/a:/b:ro:z']) {
    assert.ok(!parseVolume(text).ok, text);
  }
});
