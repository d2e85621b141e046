import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LaunchContext } from '../engine.ts';
import { contextFixture, modelFixture } from '../engine-fixtures.ts';
import { vllmEnvironment } from './environment.ts';

const OWN = {
  PATH: '/bin',
  HOME: '/home/me',
  LC_ALL: 'C.UTF-8',
  HTTPS_PROXY: 'http://proxy',
  HUGGING_FACE_HUB_TOKEN: 'hf_old',
  HF_HOME: '/cache',
  NCCL_DEBUG: 'WARN',
  VLLM_LOGGING_LEVEL: 'DEBUG',
  VLLM_SIM_LEDGER: '/tmp/ledger',
  VLLM_API_KEY: 'no',
  VLLM_PORT: '8000',
  VLLM_IMAGE: 'no',
  VLLM_SERVER_DEV_MODE: '1',
  VLLM_GATEWAY_CONFIG: 'no',
  VLLM_GATEWAY_LAUNCH_ID: 'not-ours',
  GATEWAY_API_KEYS: 'no',
  OPENAI_API_KEY: 'no',
  AWS_SECRET_ACCESS_KEY: 'no',
  CUDA_VISIBLE_DEVICES: '0,1',
};

test('an engine sees an allow-list of our environment, its devices and what it is told', () => {
  const context = contextFixture({ deviceIds: ['GPU-1', 'GPU-2'] });
  assert.deepEqual(vllmEnvironment(modelFixture(), context, OWN), {
    PATH: '/bin',
    HOME: '/home/me',
    LC_ALL: 'C.UTF-8',
    HTTPS_PROXY: 'http://proxy',
    HF_TOKEN: 'hf_old',
    HF_HOME: '/cache',
    NCCL_DEBUG: 'WARN',
    VLLM_LOGGING_LEVEL: 'DEBUG',
    VLLM_SIM_LEDGER: '/tmp/ledger',
    CUDA_VISIBLE_DEVICES: 'GPU-1,GPU-2',
    VLLM_SERVER_DEV_MODE: '1',
    VLLM_HTTP_TIMEOUT_KEEP_ALIVE: '75',
    VLLM_ENGINE_READY_TIMEOUT_S: '601',
    VLLM_NO_USAGE_STATS: '1',
    PYTHONUNBUFFERED: '1',
    SPT_NOENV: '1',
  });
});

test('vLLM keeps responses only where the model says so', () => {
  const storeOf = (responsesStore: boolean): string | undefined =>
    vllmEnvironment(modelFixture({ responsesStore }), contextFixture(), {}).VLLM_ENABLE_RESPONSES_API_STORE;
  assert.deepEqual([storeOf(true), storeOf(false)], ['1', undefined]);
});

test('development routes are open where nobody but the gateway comes, and closed elsewhere', () => {
  const listen = { kind: 'tcp', host: '127.0.0.1', port: 9 } as const;
  const modeOf = (context: Partial<LaunchContext>): string | undefined =>
    vllmEnvironment(modelFixture(), contextFixture(context), OWN).VLLM_SERVER_DEV_MODE;
  assert.equal(modeOf({ listen }), undefined);
  assert.equal(modeOf({ listen: { ...listen, isPrivate: true } }), '1');
  assert.equal(modeOf({}), '1');
});

test('the model’s own environment has the last word, and HF_TOKEN beats its old name', () => {
  const model = modelFixture({ environment: { VLLM_NO_USAGE_STATS: '0', VLLM_CPU_KVCACHE_SPACE: '1' } });
  const environment = vllmEnvironment(model, contextFixture(), { ...OWN, HF_TOKEN: 'hf_new' });
  assert.equal(environment.VLLM_NO_USAGE_STATS, '0');
  assert.equal(environment.VLLM_CPU_KVCACHE_SPACE, '1');
  assert.equal(environment.HF_TOKEN, 'hf_new');
});

test('host memory leaves the choice of devices as it is', () => {
  const environment = vllmEnvironment(modelFixture(), contextFixture({ deviceIds: [] }), OWN);
  assert.equal(environment.CUDA_VISIBLE_DEVICES, '0,1');
});
