/** vLLM's flags for the LoRA adapters of a model; `extra_args` may say otherwise of all but the adapters themselves. */
import type { ResolvedModel } from '../../config/resolved-config.ts';
import { adapterSlotsOf, DEFAULT_ADAPTER_RANK } from '../adapter-slots.ts';
import type { LaunchContext } from '../engine.ts';
import { nameOrPath } from '../host-files.ts';
import type { Flag } from './argv.ts';

/** Empty without adapters, and for a model whose command is the user's own. */
export function adapterFlags(
  model: Pick<ResolvedModel, 'adapters' | 'command' | 'url'>,
  { sharesHost }: Pick<LaunchContext, 'sharesHost'>,
): readonly Flag[] {
  const slots = adapterSlotsOf(model);
  if (slots === null) return [];
  const modules = Object.entries(model.adapters).map(([name, path]) =>
    moduleArgument(name, nameOrPath(path, sharesHost)),
  );
  const flags: Flag[] = [
    ['--enable-lora'],
    ['--max-loras', String(slots.perBatch)],
    ['--lora-modules', ...modules],
  ];
  if (slots.rank !== DEFAULT_ADAPTER_RANK) flags.push(['--max-lora-rank', String(slots.rank)]);
  return flags;
}

/** The short form where every vLLM reads it as it is meant: some split at each `=`, and none takes a comma in it. */
function moduleArgument(name: string, path: string): string {
  return /[,={]/.test(name + path) ? JSON.stringify({ name, path }) : `${name}=${path}`;
}
