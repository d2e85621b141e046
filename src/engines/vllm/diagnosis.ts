/**
 * Why a vLLM ended. Order matters: a cause stands before the texts that vLLM wraps it in (a gated repository also ends
 * as "Invalid repository ID", everything ends as "Engine core initialization failed").
 */

import type { DiagnosisRule } from '../diagnosis-rules.ts';
import { diagnoseBy } from '../diagnosis-rules.ts';
import type { Diagnosis, ExitStatus } from '../engine.ts';
import { DEVICE_RULES } from '../lost-device-rules.ts';
import { OFFLINE_RULES } from '../offline-rules.ts';
import { gibOf, leastLeft, neededCache, refused, shortOf, torchGib } from './launch-remedies.ts';

const MEMORY: readonly DiagnosisRule[] = [
  {
    cause: 'out_of_memory',
    pattern:
      /(?:Free|Available) memory on (?:device|node) (\S+)\s*\(([\d.]+)\/([\d.]+) GiB\) on startup is less than desired (?:GPU|CPU|device) memory utilization \(([\d.]+), ([\d.]+) GiB\)/,
    retryable: true,
    text: (m) =>
      `out of memory: ${m[5]} GiB (${m[4]} of the device) were wanted, but only ${m[2]} of ${m[3]} GiB were free on ${m[1]} at the start`,
    // The device had too little, not the estimate: to ask for more would only miss by more.
    remedy: () => ({ again: true }),
  },
  {
    cause: 'out_of_memory',
    pattern: /(?:Free|Available) memory on (?:device|node) .* on startup is less than desired .*/,
    retryable: true,
    text: (m) => `out of memory: ${m[0]}`,
    remedy: () => ({ again: true }),
  },
  {
    cause: 'out_of_memory',
    pattern:
      /Available memory on node (\S+)\s*\(([\d.]+)\/([\d.]+) GiB\) on kv cache allocation is less than requested memory for kv \(([\d.]+) GiB\)/,
    retryable: true,
    text: (m) =>
      `out of memory: a KV cache of ${m[4]} GiB was wanted, but only ${m[2]} of ${m[3]} GiB were free on node ${m[1]}`,
    remedy: (m) => shortOf(gibOf(m[4]) - gibOf(m[2])),
  },
  {
    cause: 'context_too_long',
    pattern:
      /To serve at least one request with the model(?:'|’)s max seq len \(?(\d+)\)?, \(?([\d.]+) GiB KV cache is needed, which is larger than the available KV cache memory \(([\d.]+) GiB\)(?:.*estimated maximum model length is (\d+))?/,
    retryable: false,
    text: (m) =>
      `a context of ${m[1]} tokens needs ${m[2]} GiB of KV cache, but only ${m[3]} GiB are left${
        m[4] === undefined ? '' : `; a max_model_len of ${m[4]} would fit`
      }`,
    remedy: (m) => neededCache(gibOf(m[2]), gibOf(m[3])),
  },
  {
    cause: 'out_of_memory',
    pattern: /Cannot auto-fit max_model_len: not enough GPU memory.*/,
    retryable: false,
    text: (m) => `out of memory: ${m[0]}`,
  },
  {
    cause: 'out_of_memory',
    pattern: /No available memory for the cache blocks/,
    retryable: false,
    text: (_, lines) => {
      const left = leastLeft(lines);
      const room = left === null ? '' : ` (${left} GiB)`;
      return `out of memory: the weights leave no room for the KV cache${room}; reserve more memory for this model`;
    },
    remedy: (_, lines) => {
      const left = leastLeft(lines);
      return left === null ? null : shortOf(-Number(left));
    },
  },
  {
    cause: 'out_of_memory',
    pattern:
      /out of memory\. Tried to allocate ([\d.]+ (?:[KMG]iB|bytes))(?:.*total capacity of ([\d.]+ [KMG]iB) of which ([\d.]+ (?:[KMG]iB|bytes)) is free)?/,
    retryable: true,
    whileServing: true,
    text: (m) =>
      `out of memory: ${m[1]} could not be allocated${
        m[2] === undefined ? '' : `, ${m[3]} of ${m[2]} were free`
      }`,
    remedy: (m) => shortOf(torchGib(m[1]) - torchGib(m[3])),
  },
  {
    cause: 'out_of_memory',
    pattern:
      /torch\.(?:cuda\.)?OutOfMemoryError.*|(?:CUDA|HIP|XPU) out of memory.*|Failed to load model - not enough GPU memory.*/,
    retryable: true,
    whileServing: true,
    text: (m) => `out of memory: ${m[0]}`,
  },
  {
    cause: 'out_of_memory',
    pattern: /Error in memory profiling\..*/,
    retryable: true,
    text: () =>
      'the free memory of the device changed while vLLM was measuring it: another process moved at the same time',
    remedy: () => ({ again: true }),
  },
];

const CONFIGURATION: readonly DiagnosisRule[] = [
  {
    cause: 'context_too_long',
    pattern:
      /User-specified max_model_len \((\d+)\) is greater than the derived max_model_len(?: \((?:\w+=)?(\d+))?/,
    retryable: false,
    text: (m) =>
      `max_model_len ${m[1]} is beyond the model's own context${m[2] === undefined ? '' : ` of ${m[2]} tokens`}`,
  },
  {
    cause: 'too_few_devices',
    pattern: /World size \((\d+)\) is larger than the number of available GPUs(?: \((\d+)\))?/,
    retryable: false,
    text: (m) =>
      `the model is spread over ${m[1]} devices, more than ${m[2] === undefined ? 'are' : `the ${m[2]} that are`} available`,
  },
  {
    cause: 'unknown_architecture',
    pattern:
      /Model architectures (\[.*?\]) (?:are not supported for now|failed to be inspected)|(\S+) was supported in vLLM until (\S+)/,
    retryable: false,
    text: (m) =>
      m[1] === undefined
        ? `this vLLM no longer supports the architecture ${m[2]} (it did until ${m[3]})`
        : `this vLLM does not support the architecture ${m[1]}`,
  },
  {
    cause: 'unknown_architecture',
    pattern:
      /model type `?([\w.-]+)`? but Transformers does not recognize this architecture|does not recognize this architecture/,
    retryable: false,
    text: (m) => `the installed Transformers does not know the architecture ${m[1] ?? 'of this model'}`,
  },
  {
    cause: 'sleep_unsupported',
    pattern: /Sleep mode is not supported on current platform/,
    retryable: false,
    text: () => 'sleep mode is not supported on this platform; remove --enable-sleep-mode',
    remedy: () => ({ refusedFlags: ['--enable-sleep-mode'] }),
  },
  {
    cause: 'tool_parser_missing',
    pattern:
      /invalid (tool call|reasoning) parser: ?['"]?([\w.-]+)|requires --(tool-call|reasoning)-parser|(?:Tool|Reasoning) parser '?([\w.-]+)'? (?:not found|is not)/i,
    retryable: false,
    text: (m) => {
      const name = m[2] ?? m[4];
      return name === undefined
        ? `tool choice needs a parser: set --${m[3]}-parser in extra_args`
        : `the parser \`${name}\` does not exist in this vLLM`;
    },
  },
  {
    cause: 'unknown_flag',
    pattern: /error: unrecognized arguments: (.*)/,
    retryable: false,
    text: (m) => `this vLLM does not know the arguments ${m[1]}`,
    remedy: (m) => refused(m[1]),
  },
  {
    cause: 'unknown_flag',
    pattern: /error: (argument -.*|ambiguous option: .*|the following arguments are required: .*)/,
    retryable: false,
    text: (m) => `vLLM refused its command line: ${m[1]}`,
  },
];

const REPOSITORY: readonly DiagnosisRule[] = [
  {
    cause: 'gated_repository',
    pattern:
      /trying to access a gated repo|Cannot access gated repo|GatedRepoError|(?:401|403) Client Error|awaiting a review from the repo authors/,
    retryable: false,
    text: () =>
      'the repository is gated or private: accept its terms and give HF_TOKEN a token that may read it',
  },
  ...OFFLINE_RULES,
  {
    cause: 'repository_unreachable',
    pattern:
      /couldn(?:'|’)t connect to|LocalEntryNotFoundError|Max retries exceeded with url|Temporary failure in name resolution/,
    retryable: true,
    text: () =>
      'the model hub cannot be reached and the model is not in the cache; `vllm-gateway fetch` brings it there beforehand',
  },
  {
    cause: 'model_not_found',
    pattern:
      /^(?:.*?: )?['"]?(\S+?)['"]? is not (?:a local folder and is not )?a valid model identifier|RepositoryNotFoundError|404 Client Error/,
    retryable: false,
    text: (m) => `the model${m[1] === undefined ? '' : ` ${m[1]}`} does not exist on the hub`,
  },
  {
    cause: 'model_not_found',
    pattern: /Invalid repository ID or local directory specified:? ?['"]?([^\s'"]+)?|HFValidationError/,
    retryable: false,
    text: (m) =>
      `${m[1] === undefined ? 'the model' : m[1].replace(/[.,]$/, '')} is neither a repository nor a directory with a config.json`,
  },
  {
    cause: 'model_not_found',
    pattern: /Couldn(?:'|’)t instantiate the backend tokenizer/,
    retryable: false,
    text: () =>
      'the files of its tokenizer are missing, or are of a kind that needs another package: `vllm-gateway fetch` completes what is in the cache, and `--tokenizer` in extra_args names another repository',
  },
  {
    cause: 'model_not_found',
    pattern: /Cannot find any model weights with `?([^`]+)`?/,
    retryable: false,
    text: (m) =>
      `${m[1]} holds no weights that vLLM can load${
        /\/snapshots\//.test(m[1] ?? '') ? '; `vllm-gateway fetch` completes what is in the cache' : ''
      }`,
  },
];

const ENVIRONMENT: readonly DiagnosisRule[] = [
  {
    cause: 'port_taken',
    pattern: /\[Errno 98\]|Address already in use/i,
    retryable: true,
    text: () => 'the address to listen on was taken by another process',
  },
  {
    cause: 'timeout',
    pattern: /Timed out waiting for engine core processes to start/,
    retryable: true,
    text: () => "the engine's processes did not start in time; raise `load_timeout`",
  },
  {
    cause: 'executable_missing',
    pattern: /No module named '?(vllm[\w.]*)|No package metadata was found for (\S+)/,
    retryable: false,
    text: (m) => `the Python that was started has no ${(m[1] ?? m[2] ?? 'vllm').replace(/[.'"]+$/, '')}`,
  },
];

const RULES: readonly DiagnosisRule[] = [
  ...MEMORY,
  ...DEVICE_RULES,
  ...CONFIGURATION,
  ...REPOSITORY,
  ...ENVIRONMENT,
];

const SERVING = /^Application startup complete/;

/** `lines` oldest first, as the runtime delivered them. */
export function diagnoseVllm(exit: ExitStatus, lines: readonly string[]): Diagnosis {
  return diagnoseBy(RULES, SERVING, exit, lines);
}
