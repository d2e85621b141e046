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

/** These decide how much memory the engine takes, so they void what was reserved for a model that shares its devices. */
const WHERE_SHARED: Readonly<Record<string, string>> = {
  '--max-model-len': 'set `max_model_len`',
  '--max-num-seqs': 'set `max_num_seqs`',
  '--kv-cache-memory-bytes': 'the reservation decides it',
  '--kv-cache-memory': 'the reservation decides it',
  '--num-gpu-blocks-override': 'the reservation decides it',
  '--block-size': 'the reservation is computed for the default',
};

interface ManagedFlag {
  readonly index: number;
  readonly flag: string;
  readonly remedy: string;
}

/** `--flag value`, `--flag=value` and `--flag_name` are all the same to vLLM. `shared`: the model may share its devices with others. */
export function managedFlags(args: readonly string[], shared: boolean): readonly ManagedFlag[] {
  return args.flatMap((word, index) => {
    const flag = (word.split('=', 1)[0] ?? '').trim().split(/\s/, 1)[0] ?? '';
    const plain = flag.startsWith('--') ? flag.replaceAll('_', '-') : flag;
    const remedy = ALWAYS[plain] ?? (shared ? WHERE_SHARED[plain] : undefined);
    return remedy === undefined ? [] : [{ index, flag: plain, remedy }];
  });
}
