/** A hub on loopback, an empty cache, and a fetcher with short waits. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type FakeFileHub, startFakeFileHub } from '../../test/fakes/fake-hub-files.ts';
import type { ResolvedModel } from '../config/resolved-config.ts';
import { modelFixture } from '../engines/engine-fixtures.ts';
import type { FetchLimits } from './fetch-limits.ts';
import type { FetchProgress, FetchResult } from './fetcher.ts';
import { createWeightsFetcher, type WeightsFetcherOptions } from './weights-fetcher.ts';

export const COMMIT = 'a'.repeat(40);
export const MIB = 1024 * 1024;

export const SHORT_LIMITS: Partial<FetchLimits> = {
  backoffMs: 1,
  backoffMaxMs: 5,
  stallTimeoutMs: 500,
  progressBytesMin: 64 * 1024,
  diskReserveBytes: 0,
  progressEveryMs: 0,
};

export interface FetchWorld {
  readonly hub: FakeFileHub;
  /** HF_HOME */
  readonly home: string;
  readonly cache: string;
  readonly lines: string[];
  readonly progress: FetchProgress[];
  fetch(
    model?: Partial<ResolvedModel>,
    options?: Partial<WeightsFetcherOptions> & { readonly signal?: AbortSignal },
  ): Promise<FetchResult>;
}

export async function fetchWorld(t: TestContext): Promise<FetchWorld> {
  const hub = await startFakeFileHub();
  const home = await mkdtemp(join(tmpdir(), 'weights-'));
  t.after(async () => {
    await hub.close();
    await rm(home, { recursive: true, force: true });
  });
  const lines: string[] = [];
  const progress: FetchProgress[] = [];
  return {
    hub,
    home,
    cache: join(home, 'hub'),
    lines,
    progress,
    async fetch(model = {}, { signal, ...options } = {}) {
      const fetcher = createWeightsFetcher({
        environment: { HF_HOME: home, HF_ENDPOINT: hub.endpoint },
        log: (level, text) => lines.push(`${level}: ${text}`),
        ...options,
        limits: { ...SHORT_LIMITS, ...options.limits },
      });
      const result = await fetcher.fetch(fetchedModel(model), {
        signal: signal ?? new AbortController().signal,
        onProgress: (each) => progress.push(each),
      });
      await fetcher.close();
      return result;
    },
  };
}

export function fetchedModel(changes: Partial<ResolvedModel> = {}): ResolvedModel {
  return {
    ...modelFixture({ repo: 'acme/small' }),
    fetch: true,
    image: null,
    downloadTimeoutMs: 60_000,
    ...changes,
  };
}

export function withArguments(...extraArgs: string[]): Pick<ResolvedModel, 'vllm'> {
  return { vllm: { ...modelFixture().vllm, extraArgs } };
}

/** A repository as there are many: two parts of weights, and more than a launch needs. */
export function putModel(hub: FakeFileHub, name = 'acme/small', partBytes = MIB): Record<string, Buffer> {
  const parts = {
    'model-00001-of-00002.safetensors': randomBytes(partBytes),
    'model-00002-of-00002.safetensors': randomBytes(partBytes),
  };
  const index = JSON.stringify({
    weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' },
  });
  hub.repositories.set(name, {
    commit: COMMIT,
    files: {
      '.gitattributes': 'x',
      'README.md': '# Small',
      'config.json': '{"architectures":["X"]}',
      'generation_config.json': '{}',
      'tokenizer.json': '{}',
      'tokenizer_config.json': '{}',
      'chat_template.jinja': '{{ messages }}',
      'modeling_small.py': 'pass',
      'model.safetensors.index.json': index,
      ...parts,
      'consolidated.safetensors': randomBytes(1000),
      'pytorch_model.bin': randomBytes(1000),
      'onnx/model.onnx': randomBytes(1000),
      'onnx/config.json': '{}',
      'small-Q4_K_M.gguf': randomBytes(1000),
    },
    large: [...Object.keys(parts), 'consolidated.safetensors', 'pytorch_model.bin', 'small-Q4_K_M.gguf'],
  });
  return parts;
}

/** Changes a disk of `smallDisk`: its size, or that it is read-only. */
export function remount(disk: string, change: string): void {
  execFileSync('mount', ['-o', `remount,${change}`, disk], { stdio: 'ignore' });
}
