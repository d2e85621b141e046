import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DiagnosisCause } from '../engine.ts';
import { diagnoseVllm } from './diagnosis.ts';

const CORE = '(EngineCore pid=812) ERROR 11-24 08:12:40 [core.py:1510] ';
const SERVING = '(APIServer pid=7) INFO:     Application startup complete.';
const WRAPPER = '(APIServer pid=7) RuntimeError: Engine core initialization failed. See root cause above.';

/** What an engine says when its devices or its files are gone, by the words of its end. */
const CASES: readonly (readonly [words: string, cause: DiagnosisCause, text: RegExp])[] = [
  [
    'Failed to initialize NVML: Driver/library version mismatch',
    'device_lost',
    /driver was updated .* restart the host$/,
  ],
  [
    'vllm.third_party.pynvml.NVMLError_LibRmVersionMismatch: RM has detected an NVML/RM version mismatch.',
    'device_lost',
    /driver was updated/,
  ],
  [
    'Failed to initialize NVML: Unknown Error',
    'device_lost',
    /lost its devices, or never got them \(Failed to initialize NVML: Unknown Error\): .*daemon-reload/,
  ],
  [
    'RuntimeError: CUDA error: no CUDA-capable device is detected',
    'device_lost',
    /no CUDA-capable device is detected/,
  ],
  [
    'torch.AcceleratorError: CUDA error: unknown error',
    'device_lost',
    /never got them \(CUDA error: unknown error\)/,
  ],
  [
    'RuntimeError: No CUDA GPUs are available',
    'device_lost',
    /never got them \(No CUDA GPUs are available\)/,
  ],
  [
    'NVRM: Xid (PCI:0000:41:00): 79, pid=1234, GPU has fallen off the bus.',
    'device_lost',
    /fell off the bus \(Xid \(PCI:0000:41:00\): 79/,
  ],
  ['pynvml.NVMLError_GpuIsLost: GPU is lost', 'device_lost', /a GPU failed or fell off the bus/],
  [
    "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the specified revision on the local disk and outgoing traffic has been disabled. To enable repo look-ups and downloads online, pass 'local_files_only=False' as input.",
    'repository_unreachable',
    /HF_HUB_OFFLINE\): `vllm-gateway fetch` brings them$/,
  ],
  [
    'huggingface_hub.errors.LocalEntryNotFoundError: Cannot find the requested files in the disk cache and outgoing traffic has been disabled.',
    'repository_unreachable',
    /`vllm-gateway fetch`/,
  ],
  [
    "ValueError: Couldn't instantiate the backend tokenizer from one of:",
    'model_not_found',
    /files of its tokenizer are missing, .*`--tokenizer` in extra_args/,
  ],
  [
    'RuntimeError: Cannot find any model weights with `/c/models--acme--m/snapshots/c0ffee`',
    'model_not_found',
    /holds no weights that vLLM can load; `vllm-gateway fetch` completes/,
  ],
];

for (const [words, cause, text] of CASES) {
  test(`diagnosis of a start: ${words.slice(0, 80)}`, () => {
    const found = diagnoseVllm({ code: 1, signal: null }, [CORE + words, WRAPPER]);
    assert.equal(found.cause, cause, JSON.stringify(found));
    assert.match(found.text, text);
    assert.equal(found.retryable, cause !== 'model_not_found');
  });
}

test('lost devices are believed while serving too; missing files may then be a request’s', () => {
  const causeOf = (words: string): DiagnosisCause =>
    diagnoseVllm({ code: 1, signal: null }, [SERVING, CORE + words]).cause;
  for (const [words, cause] of CASES) {
    assert.equal(causeOf(words), cause === 'device_lost' ? cause : 'unknown', words);
  }
});

test('what the kernel says of host memory stands above what the engine said of its devices', () => {
  const found = diagnoseVllm({ code: 137, signal: null, hostMemory: true }, [`${CORE}CUDA out of memory.`]);
  assert.equal(found.cause, 'host_out_of_memory');
  assert.match(found.text, /^host memory ran out, not that of its devices, .*`sleep: level_2`/);
  assert.ok(found.retryable);
});
