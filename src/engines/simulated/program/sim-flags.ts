/** The flags that only the simulation has, with their defaults and meanings: one table for parsing, `--help` and the docs. */

export const SIM_VALUES = new Map([
  [
    'sim-task',
    [null, 'generate, embed, classify or transcription; by default guessed from the model name and --runner'],
  ],
  ['sim-load-seconds', ['1', 'time from the process start to serving']],
  [
    'sim-memory-mib',
    [null, 'memory of the ready engine on each device; by default all that the utilisation allows'],
  ],
  ['sim-weights-mib', [null, 'share of it that is weights; by default three quarters']],
  [
    'sim-sleep-residual-mib',
    [null, 'memory that stays on each device while asleep; by default an eighth, at most 400'],
  ],
  [
    'sim-overhead-mib',
    ['0', 'memory on each device beside weights and cache: context, activations, captured graphs'],
  ],
  ['sim-host-mib', ['150', 'host memory while awake; asleep at level 1 the weights come on top']],
  ['sim-kv-bytes-per-token', ['128', 'size of one token in the KV cache']],
  ['sim-model-length', ['131072', 'context length that the model itself has']],
  ['sim-tokens-per-second', ['400', 'speed of each sequence; 0: the whole answer at once']],
  ['sim-prefill-tokens-per-second', ['20000', 'speed of reading prompts; 0: at once']],
  ['sim-sleep-seconds', ['0.1', 'time of falling asleep']],
  ['sim-wake-seconds', ['0.2', 'time of waking']],
  ['sim-time-scale', ['1', 'factor on all of these durations']],
  ['sim-answer', ['words', "words: the prompt's number and words chosen by it; echo: the last user text"]],
  ['sim-answer-tokens', [null, 'length of an answer that the request does not bound']],
  ['sim-embedding-size', ['384', 'dimensions of an embedding']],
  ['sim-refuse-flag', [null, 'a flag of vLLM that an older one does not know, may be repeated']],
  ['sim-fault', [null, 'a fault to have, may be repeated']],
  ['sim-fault-once', [null, 'file: only the process that creates it has the faults']],
  ['sim-request-log', [null, 'file: a line of JSON for each request that comes, and one for its end']],
] as const satisfies readonly (readonly [string, readonly [string | null, string]])[]);

export const SIM_SWITCHES = new Map([
  ['sim-no-engine-core', 'start no process in the place of the engine core'],
]);

export type SimFlagName = Parameters<typeof SIM_VALUES.get>[0];

/** The default as text; null where the default is decided elsewhere. */
export function simDefault(name: SimFlagName): string | null {
  return SIM_VALUES.get(name)?.[0] ?? null;
}
