/** How long prompts and answers of generated requests are: always in pairs, because long prompts rarely have long answers. */
import type { Prng } from '../../core/prng.ts';
import { openTrace } from '../trace-file.ts';
import { normal } from './gamma.ts';

export interface RequestLengths {
  readonly promptTokens: number;
  readonly outputTokens: number;
}

export type DrawLengths = (prng: Prng) => RequestLengths;

/** Of more rows than this, the first ones are drawn from. */
const PAIRS_MAX = 1_000_000;

/**
 * Log-normal fit to the 19,366 requests of Azure's conversation trace of 2023 (AzurePublicDataset, CC-BY): means and deviations
 * of the logarithms, their correlation, and the largest values.
 */
const FIT = {
  prompt: { mean: 6.633, deviation: 0.985, most: 14_050 },
  output: { mean: 5.019, deviation: 0.859, most: 1_000 },
  correlation: 0.087,
} as const;

export function fittedLengths(prng: Prng): RequestLengths {
  const { prompt, output, correlation } = FIT;
  const first = normal(prng);
  const second = correlation * first + Math.sqrt(1 - correlation ** 2) * normal(prng);
  return { promptTokens: tokens(prompt, first), outputTokens: tokens(output, second) };
}

/** Draws among the rows of a trace. @throws InputFault */
export function recordedLengths(file: string): DrawLengths {
  const trace = openTrace(file);
  const count = Math.min(trace.count, PAIRS_MAX);
  const prompts = new Uint32Array(count);
  const outputs = new Uint32Array(count);
  const stream = trace.open();
  for (let index = 0; index < count; index += 1) {
    const request = stream.next();
    prompts[index] = request?.promptTokens ?? 0;
    outputs[index] = request?.outputTokens ?? 0;
  }
  stream.close();
  return (prng) => {
    const index = prng.integer(count);
    return { promptTokens: prompts[index] ?? 0, outputTokens: outputs[index] ?? 0 };
  };
}

function tokens({ mean, deviation, most }: (typeof FIT)['prompt' | 'output'], z: number): number {
  return Math.min(most, Math.max(1, Math.round(Math.exp(mean + deviation * z))));
}
