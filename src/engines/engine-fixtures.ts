/** Models and launches for the engines' tests. */
import type { ResolvedModel, VllmOptions } from '../config/resolved-config.ts';
import type { LaunchContext } from './engine.ts';

type ModelChanges = Partial<Omit<ResolvedModel, 'vllm'>> & { readonly vllm?: Partial<VllmOptions> };

export function modelFixture(changes: ModelChanges = {}): ResolvedModel {
  const { vllm, ...rest } = changes;
  return {
    name: 'small',
    engine: 'vllm',
    repo: 'acme/small',
    image: null,
    fetch: true,
    downloadTimeoutMs: 7_200_000,
    command: null,
    url: null,
    servedName: 'small',
    need: { deviceCount: 1, pool: null, memoryMibPerDevice: 6000 },
    alwaysOn: false,
    inactivityTimeoutMs: 0,
    minResidenceMs: 0,
    loadTimeoutMs: 600_500,
    drainTimeoutMs: 120_000,
    onDrainTimeout: 'cut',
    sleep: 'auto',
    warmUp: true,
    colocate: false,
    queueTimeoutMs: 60_000,
    progress: 'off',
    progressAfterMs: 5_000,
    firstByteTimeoutMs: 300_000,
    streamIdleTimeoutMs: 300_000,
    wsIdleTimeoutMs: 60_000,
    responsesStore: false,
    backgroundTimeoutMs: 1_800_000,
    adapters: {},
    maxConcurrent: 50,
    queueSize: 200,
    requestDefaults: {},
    environment: {},
    ...rest,
    vllm: {
      gpuMemoryUtilization: 0.9,
      maxModelLen: 0,
      maxNumSeqs: 16,
      kvReservationSeqs: 16,
      tensorParallelSize: 1,
      quantization: null,
      dtype: null,
      enforceEager: false,
      toolParser: 'off',
      reasoningParser: 'off',
      extraArgs: [],
      executable: ['vllm'],
      ...vllm,
    },
  };
}

export function contextFixture(changes: Partial<LaunchContext> = {}): LaunchContext {
  return {
    launchId: 'abc-def',
    listen: { kind: 'unix', socketPath: '/run/e/abc.sock' },
    deviceIds: ['GPU-1'],
    deviceSource: 'nvidia',
    memoryMibPerDevice: 6000,
    deviceMemoryMib: 24_000,
    kvCacheBytes: null,
    sleepMode: false,
    withoutFlags: new Set(),
    source: null,
    sharesHost: true,
    ...changes,
  };
}
