/** Which models' engines answer which paths without a device. */
import type { ResolvedConfig, ResolvedModel } from '../config/resolved-config.ts';
import type { ModelName } from '../core/ids.ts';
import type { Engine } from '../engines/engine.ts';

/** By path: the models whose engines answer it asleep as well. */
export function lightModels(
  config: ResolvedConfig,
  engineOf: (model: ResolvedModel) => Engine,
): ReadonlyMap<string, ReadonlySet<ModelName>> {
  const models = new Map<string, Set<ModelName>>();
  for (const model of config.models.values()) {
    for (const path of engineOf(model).capabilities.routesAsleep)
      models.set(path, (models.get(path) ?? new Set()).add(model.name));
  }
  return models;
}
