/**
 * The layers of configuration and which of them wins: command line over model over defaults over environment over built-in.
 * The checks and the resolver both ask here, so that a fault names exactly the value that would have been used.
 */
import type { ConfigPath, FaultOrigin } from './fault.ts';
import type { RawConfig, RawLayer } from './schema.ts';
import { devicesBuiltIn, schedulingBuiltIn } from './schema-devices.ts';
import { modelBuiltIn, type RawModel } from './schema-model.ts';
import { activityBuiltIn, dockerBuiltIn, runtimeBuiltIn } from './schema-runtime.ts';
import { logBuiltIn, serverBuiltIn } from './schema-server.ts';
import { type RawSource, valueAt } from './source.ts';

export interface Layers {
  readonly flags: { readonly layer: RawLayer; readonly source: RawSource };
  readonly file: { readonly config: RawConfig; readonly source: RawSource };
  readonly environment: { readonly layer: RawLayer; readonly source: RawSource };
}

type SectionName = 'server' | 'runtime' | 'devices' | 'scheduling' | 'activity' | 'log';

/** Lays stronger values over weaker ones; a key that is absent or undefined hides nothing. */
function laid<Weakest extends object, Stronger extends object>(
  weakest: Weakest,
  ...stronger: readonly (Stronger | undefined)[]
): Weakest & Stronger {
  const given = stronger.map((layer) =>
    Object.fromEntries(Object.entries(layer ?? {}).filter(([, value]) => value !== undefined)),
  );
  return Object.assign({}, weakest, ...given);
}

function sectionLayers<Name extends SectionName>(layers: Layers, name: Name) {
  return [layers.environment.layer[name], layers.file.config[name], layers.flags.layer[name]] as const;
}

export const serverOf = (layers: Layers) => laid(serverBuiltIn(), ...sectionLayers(layers, 'server'));
export const runtimeOf = (layers: Layers) => laid(runtimeBuiltIn(), ...sectionLayers(layers, 'runtime'));
export const dockerOf = (layers: Layers) =>
  laid(dockerBuiltIn(), ...sectionLayers(layers, 'runtime').map((runtime) => runtime?.docker));
export const activityOf = (layers: Layers) => laid(activityBuiltIn(), ...sectionLayers(layers, 'activity'));
export const devicesOf = (layers: Layers) => laid(devicesBuiltIn(), ...sectionLayers(layers, 'devices'));
export const schedulingOf = (layers: Layers) =>
  laid(schedulingBuiltIn(), ...sectionLayers(layers, 'scheduling'));
export const logOf = (layers: Layers) => laid(logBuiltIn(), ...sectionLayers(layers, 'log'));

/** Where the value of a section's key comes from. */
export function originOfSetting(layers: Layers, path: ConfigPath): FaultOrigin {
  for (const source of [layers.flags.source, layers.file.source, layers.environment.source]) {
    if (valueAt(source.value, path) !== undefined) return source.originOf(path, 'value');
  }
  return { kind: 'built_in' };
}

/** Pools of the file; without any, those of the environment. */
export function poolsOf(layers: Layers): ReadonlyMap<string, readonly string[]> {
  return new Map(Object.entries(layers.file.config.pools ?? layers.environment.layer.pools ?? {}));
}

/** Names of pools, also of those whose list of devices was refused. */
export function poolNamesOf(layers: Layers): readonly string[] {
  const written = valueAt(layers.file.source.value, ['pools']);
  const names = written !== null && typeof written === 'object' ? Object.keys(written) : [];
  return [...new Set([...names, ...poolsOf(layers).keys()])];
}

/** A model's values with those of the weaker layers behind them. */
export function modelOf(layers: Layers, model: RawModel) {
  return laid(modelBuiltIn(), layers.environment.layer.defaults, layers.file.config.defaults, model);
}

export type LayeredModel = ReturnType<typeof modelOf>;

/** Where the value of a model's key comes from, and where it stands. */
export function originOfModelKey(
  layers: Layers,
  name: string,
  key: keyof RawModel,
): { readonly origin: FaultOrigin; readonly path: ConfigPath } {
  const places: readonly (readonly [RawSource, ConfigPath])[] = [
    [layers.file.source, ['models', name, key]],
    [layers.file.source, ['defaults', key]],
    [layers.environment.source, ['defaults', key]],
  ];
  for (const [source, path] of places) {
    const value = valueAt(source.value, path);
    if (value !== undefined && value !== null) return { origin: source.originOf(path, 'value'), path };
  }
  return { origin: layers.file.source.originOf(['models', name], 'key'), path: ['models', name] };
}
