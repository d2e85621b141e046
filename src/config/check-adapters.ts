/** Rules about LoRA adapters: each is a model name for clients, so it must be the only one of its name. */
import { type ConfigFault, type ConfigPath, fault } from './fault.ts';
import type { Layers } from './layers.ts';
import type { RawModel } from './schema-model.ts';

/** Names of adapters, each with the models that have one of that name. */
export function adaptersOf(layers: Layers): ReadonlyMap<string, readonly string[]> {
  const owners = new Map<string, string[]>();
  for (const [model, { adapters }] of modelsOf(layers)) {
    for (const name of Object.keys(adapters ?? {})) owners.set(name, [...(owners.get(name) ?? []), model]);
  }
  return owners;
}

/** `modelNames`: every name under `models`, also of those whose faults left them out. */
export function checkAdapters(layers: Layers, modelNames: readonly string[]): readonly ConfigFault[] {
  const aliases = layers.file.config.aliases ?? {};
  const owners = adaptersOf(layers);
  const faults: ConfigFault[] = [];
  const report = (path: ConfigPath, problem: string, what: 'key' | 'value' = 'key'): void => {
    faults.push(fault('conflict', layers.file.source.originOf(path, what), path, problem));
  };
  for (const [model, own] of modelsOf(layers)) {
    const names = Object.keys(own.adapters ?? {});
    for (const name of names) {
      const path = ['models', model, 'adapters', name];
      const other = owners.get(name)?.find((owner) => owner !== model);
      if (modelNames.includes(name)) report(path, 'a model has this name already');
      else if (name === own.served_name) report(path, '`served_name` says that this is the model itself');
      else if (other !== undefined) report(path, `model \`${other}\` has an adapter of this name too`);
      else if (Object.hasOwn(aliases, name)) report(path, 'an alias has this name already');
    }
    const words = own.extra_args ?? [];
    const index = words.findIndex((word) => /^--lora[_-]modules(=|$)/.test(word));
    if (names.length > 0 && index >= 0) {
      report(
        ['models', model, 'extra_args', index],
        '`adapters` names them already: put these there too',
        'value',
      );
    }
  }
  return faults;
}

function modelsOf(layers: Layers): readonly [string, RawModel][] {
  return Object.entries(layers.file.config.models);
}
