/** Engine flags in `extra_args` that belong to the gateway: setting them there would contradict what it reserved or expects. */

/** What to do instead, by flag. */
const ALWAYS: Readonly<Record<string, string>> = {
  '--model': 'set `repo`',
  '--served-model-name': 'set the name of the model, or `served_name`',
  '--gpu-memory-utilization': 'set `gpu_memory_utilization`',
  '--device-memory-utilization': 'set `gpu_memory_utilization`',
  '--tensor-parallel-size': 'set `tensor_parallel_size`',
  '-tp': 'set `tensor_parallel_size`',
  '--host': 'the gateway chooses where engines listen',
  '--port': 'the gateway chooses where engines listen',
  '--uds': 'the gateway chooses where engines listen',
};

/** In budget mode these decide how much memory the engine takes. */
const IN_BUDGET_MODE: Readonly<Record<string, string>> = {
  '--max-model-len': 'set `max_model_len`',
  '--max-num-seqs': 'set `max_num_seqs`',
  '--kv-cache-memory-bytes': 'the budget decides it',
  '--kv-cache-memory': 'the budget decides it',
  '--num-gpu-blocks-override': 'the budget decides it',
  '--block-size': 'the budget is computed for the default',
};

interface ManagedFlag {
  readonly index: number;
  readonly flag: string;
  readonly remedy: string;
}

/** `--flag value`, `--flag=value` and `--flag_name` are all the same to vLLM. */
export function managedFlags(args: readonly string[], budgetMode: boolean): readonly ManagedFlag[] {
  return args.flatMap((word, index) => {
    const flag = (word.split('=', 1)[0] ?? '').trim().split(/\s/, 1)[0] ?? '';
    const plain = flag.startsWith('--') ? flag.replaceAll('_', '-') : flag;
    const remedy = ALWAYS[plain] ?? (budgetMode ? IN_BUDGET_MODE[plain] : undefined);
    return remedy === undefined ? [] : [{ index, flag: plain, remedy }];
  });
}
