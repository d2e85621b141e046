/**
 * Parameters of the vision or audio tower beside the language model, by the general shape of a transformer encoder: patch
 * embedding, positions, layers of attention and a two- or three-matrix network, and a projector. A few per cent off for a
 * single tower, which is itself a few per cent of a model; files read for their headers give the exact figure.
 */

import { configDefaults } from './config-defaults.ts';
import { ConfigKeys, type JsonObject } from './config-keys.ts';

const TOWER_KEYS = ['vision_config', 'vision_encoder_config', 'vit_config', 'audio_config', 'sound_config'];

/** `text`: the language model's keys. Faults of a tower go to `assumptions`: nothing hangs on its last per cent. */
export function towerParameters(config: JsonObject, hiddenSize: number, assumptions: string[]): number {
  let total = 0;
  for (const name of TOWER_KEYS) {
    const tower = config[name];
    if (typeof tower !== 'object' || tower === null) continue;
    const missing: string[] = [];
    const type = String((tower as JsonObject)['model_type'] ?? '');
    const fallback = configDefaults(type || String(config['model_type'] ?? ''));
    const keys = new ConfigKeys([tower as JsonObject, fallback], `${name}.`, missing);
    const parameters = encoderParameters(keys, config, hiddenSize);
    if (missing.length === 0) total += parameters;
    else assumptions.push(`the tower of \`${name}\` is not counted: ${missing.join(', ')}`);
  }
  return total;
}

function encoderParameters(keys: ConfigKeys, config: JsonObject, hiddenSize: number): number {
  // Qwen2-VL calls the width `embed_dim` and gives the language model's as `hidden_size`.
  const width = keys.optionalNumber('embed_dim') ?? keys.number('hidden_size', 'd_model');
  const depth = keys.number('num_hidden_layers', 'depth', 'encoder_layers');
  const globalDepth = keys.optionalNumber('num_global_layers') ?? 0;
  const inner =
    keys.optionalNumber('intermediate_size', 'encoder_ffn_dim') ?? width * keys.number('mlp_ratio');
  const isGated = keys.text('hidden_act') === 'silu' || keys.text('model_type') === 'pixtral';
  const layer = 4 * width * width + (isGated ? 3 : 2) * width * inner + 6 * width + inner;
  const patch = keys.optionalNumber('patch_size') ?? 0;
  const frames = keys.optionalNumber('temporal_patch_size') ?? 1;
  const side = keys.optionalNumber('image_size');
  const positions = side === undefined || patch === 0 || frames > 1 ? 0 : (side / patch) ** 2;
  return (
    (depth + globalDepth) * layer +
    3 * frames * patch * patch * width +
    positions * width +
    projectorParameters(keys, config, width, hiddenSize)
  );
}

/** Two matrices after merging neighbouring patches (Qwen), one or two straight ones otherwise. */
function projectorParameters(
  keys: ConfigKeys,
  config: JsonObject,
  width: number,
  hiddenSize: number,
): number {
  const out = keys.optionalNumber('out_hidden_size') ?? hiddenSize;
  const merge = keys.optionalNumber('spatial_merge_size');
  if (merge !== undefined) {
    const merged = width * merge * merge;
    const mergers = 1 + keys.list('deepstack_visual_indexes').length;
    return mergers * (merged * merged + merged * out);
  }
  // Mllama hands over the outputs of several layers side by side.
  const visionOut = keys.optionalNumber('vision_output_dim') ?? width;
  const isSingle =
    config['model_type'] === 'gemma3' || keys.optionalNumber('vision_output_dim') !== undefined;
  return visionOut * hiddenSize + (isSingle ? 0 : hiddenSize * hiddenSize);
}
