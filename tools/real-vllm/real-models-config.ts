/** The configuration in which three real engines share this machine's memory and only two fit at a time. */
import { join } from 'node:path';
import { cacheDirectory } from './cache-directory.ts';
import type { InstalledVllm } from './install.ts';
import type { RealModels } from './models.ts';

/**
 * What one of these small engines takes over its three processes (3.5 GiB), and room for what other programs take during
 * its start: on host memory the gateway measures an engine by the difference of the whole.
 */
const engineMemoryMib = 4608;
const enginesThatFit = 2;

/** Variables that keep a real engine small, off the network and from binding to the same cores as its neighbours. */
export function realEngineEnvironment(): Record<string, string> {
  return {
    HF_HUB_OFFLINE: '1',
    VLLM_CPU_KVCACHE_SPACE: '1',
    VLLM_CPU_OMP_THREADS_BIND: 'nobind',
    OMP_NUM_THREADS: '1',
    VLLM_CACHE_ROOT: join(cacheDirectory(), 'vllm-cache'),
  };
}

/** In the shape of models.yaml. */
export interface RealModelsConfig {
  readonly models: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly [section: string]: unknown;
}

export function realModelsConfig(vllm: InstalledVllm, models: RealModels): RealModelsConfig {
  return {
    devices: {
      source: 'host',
      memory_limit_mib: engineMemoryMib * enginesThatFit + 512,
      budget_fraction: 1,
    },
    defaults: {
      vllm_executable: vllm.executable,
      environment: realEngineEnvironment(),
      memory_mib: engineMemoryMib,
      // The 16-bit kernels answer nonsense on some processors and crash on others; 32 bits are right on all.
      dtype: 'float32',
      enforce_eager: true,
      max_num_seqs: 8,
      load_timeout: '4m',
    },
    models: {
      smollm2: { repo: models.smollm2, max_model_len: 1024 },
      minilm: { repo: models.minilm },
      dummy: { repo: models.dummy, max_model_len: 1024, extra_args: ['--load-format', 'dummy'] },
    },
  };
}
