/** Bytes of one element, by the names that configurations, safetensors files and flags use. */
import type { FloatType } from './model-facts.ts';

const FLOAT_BYTES: Readonly<Record<FloatType, number>> = { float32: 4, float16: 2, bfloat16: 2 };

export const FLOAT_TYPES: readonly FloatType[] = ['float32', 'float16', 'bfloat16'];

export function floatBytes(type: FloatType): number {
  return FLOAT_BYTES[type];
}

/** The type that `text` names (`bfloat16`, `torch.float16`, `half`), or undefined. */
export function floatType(text: unknown): FloatType | undefined {
  if (typeof text !== 'string') return undefined;
  switch (text.replace(/^torch\./, '')) {
    case 'float32':
    case 'float':
      return 'float32';
    case 'float16':
    case 'half':
      return 'float16';
    case 'bfloat16':
      return 'bfloat16';
    default:
      return undefined;
  }
}
