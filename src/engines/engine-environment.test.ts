import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { LaunchSource } from './engine.ts';
import { deviceEnvironment, engineEnvironment, inheritedEnvironment } from './engine-environment.ts';
import { contextFixture, modelFixture } from './engine-fixtures.ts';

const COMPLETE: LaunchSource = { model: 'acme/small', tokenizer: null, isComplete: true, files: [] };

test('engines see their devices in the variable that the vendor takes ids in, and nothing on the host', () => {
  const deviceIds = ['GPU-1', 'GPU-2'];
  const of = (deviceSource: 'nvidia' | 'amd' | 'simulated', sharesHost: boolean) =>
    deviceEnvironment({ deviceIds, deviceSource, sharesHost });
  const cuda = { CUDA_VISIBLE_DEVICES: 'GPU-1,GPU-2' };
  const rocm = { ROCR_VISIBLE_DEVICES: 'GPU-1,GPU-2' };
  assert.deepEqual([of('nvidia', true), of('nvidia', false)], [cuda, {}]);
  assert.deepEqual([of('amd', true), of('amd', false)], [rocm, rocm]);
  assert.deepEqual([of('simulated', true), of('simulated', false)], [cuda, cuda]);
  assert.deepEqual(deviceEnvironment({ deviceIds: [], deviceSource: 'host', sharesHost: true }), {});
});

/** Variables of a host, and whether an engine in a container gets them. */
const OF_A_HOST: readonly (readonly [name: string, value: string, isPassed: boolean])[] = [
  ['PATH', '/bin', false],
  ['HOME', '/root', false],
  ['USER', 'me', false],
  ['LOGNAME', 'me', false],
  ['TMPDIR', '/scratch', false],
  ['LD_LIBRARY_PATH', '/usr/lib', false],
  ['LD_PRELOAD', 'libjemalloc.so', false],
  ['VIRTUAL_ENV', '/venv', false],
  ['PYTHONPATH', 'lib', false],
  ['XDG_CACHE_HOME', '/cache', false],
  ['XDG_SESSION_ID', '7', false],
  ['CPATH', '/usr/include', false],
  ['CC', 'gcc-13', false],
  ['CXX', 'g++-13', false],
  ['HF_HOME', '/cache/hf', false],
  ['HF_HUB_CACHE', 'cache', false],
  ['HUGGINGFACE_HUB_CACHE', '/cache', false],
  ['HF_TOKEN_PATH', 'secrets/token', false],
  ['HF_XET_CACHE', '/cache', false],
  ['TRITON_CACHE_DIR', 'triton', false],
  ['TORCH_HOME', '~/torch', false],
  ['TORCHINDUCTOR_CACHE_DIR', '/cache', false],
  ['VLLM_CACHE_ROOT', '/cache', false],
  ['VLLM_NCCL_SO_PATH', 'libnccl.so.2', false],
  ['CUDA_HOME', '/usr/local/cuda', false],
  ['CUDA_VERSION', '12.9.1', false],
  ['CUDA_VISIBLE_DEVICES', '0,1', false],
  ['NVIDIA_VISIBLE_DEVICES', 'all', false],
  ['NVIDIA_DRIVER_CAPABILITIES', 'utility', false],
  ['SSL_CERT_FILE', '/etc/ssl/ca.pem', false],
  ['REQUESTS_CA_BUNDLE', 'ca.pem', false],
  ['CURL_CA_BUNDLE', '/etc/ca.pem', false],
  ['NCCL_TOPO_FILE', './topology.xml', false],
  ['VLLM_LOGGING_CONFIG', 'file:///etc/log.json', false],
  ['LANG', 'C.UTF-8', true],
  ['TZ', 'Europe/Berlin', true],
  ['HF_ENDPOINT', 'https://mirror', true],
  ['HF_HUB_ENABLE_HF_TRANSFER', '1', true],
  ['https_proxy', 'http://proxy:3128', true],
  ['NO_PROXY', 'localhost', true],
  ['NCCL_DEBUG', 'WARN', true],
  ['VLLM_USE_V1', '1', true],
  ['VLLM_ATTENTION_BACKEND', 'FLASHINFER', true],
  ['CUDA_DEVICE_ORDER', 'PCI_BUS_ID', true],
  ['PYTORCH_CUDA_ALLOC_CONF', 'expandable_segments:True', true],
  ['OMP_NUM_THREADS', '8', true],
  ['TORCH_CUDA_ARCH_LIST', '9.0', true],
];

test('an engine of this host gets all of these, one in a container only what means the same there', () => {
  const own = Object.fromEntries(OF_A_HOST.map(([name, value]) => [name, value]));
  assert.deepEqual(inheritedEnvironment(own), own);
  const wanted = OF_A_HOST.filter(([, , isPassed]) => isPassed).map(([name]) => name);
  assert.deepEqual(Object.keys(inheritedEnvironment(own, false)), wanted);
});

test('an engine whose files are all there asks no hub and gets no token, unless the model says otherwise', () => {
  const own = { HF_TOKEN: 'hf_a', HF_HUB_OFFLINE: '0' };
  const of = (source: LaunchSource | null, environment: Readonly<Record<string, string>> = {}) => {
    const { HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE, HF_TOKEN } = engineEnvironment(
      modelFixture({ environment }),
      contextFixture({ source }),
      own,
    );
    return [HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE, HF_TOKEN];
  };
  assert.deepEqual(of(COMPLETE), ['1', '1', undefined]);
  assert.deepEqual(of(null), ['0', undefined, 'hf_a']);
  assert.deepEqual(of({ ...COMPLETE, isComplete: false }), ['0', undefined, 'hf_a']);
  assert.deepEqual(of(COMPLETE, { HF_HUB_OFFLINE: '0' }), ['0', undefined, 'hf_a']);
});

test('the token of a login reaches an engine that cannot see its file', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'vg-'));
  t.after(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, 'token'), 'hf_login\n');
  const tokenOf = (own: Readonly<Record<string, string>>, sharesHost: boolean): string | undefined =>
    engineEnvironment(modelFixture(), contextFixture({ sharesHost }), own).HF_TOKEN;
  const own = { HF_HOME: directory };
  assert.equal(tokenOf(own, true), undefined);
  assert.equal(tokenOf(own, false), 'hf_login');
  assert.equal(tokenOf({ HF_TOKEN_PATH: join(directory, 'token') }, false), 'hf_login');
  assert.equal(tokenOf({ ...own, HF_TOKEN: 'hf_named' }, false), 'hf_named');
  assert.equal(tokenOf({ HF_HOME: join(directory, 'none') }, false), undefined);
});
