/** Configurations of published models (test/fixtures/model-configs), for tests of sizing. */
import { readFileSync } from 'node:fs';
import { factsFromConfig } from './config-facts.ts';
import { isObject, type JsonObject } from './config-keys.ts';
import type { FootprintRequest } from './footprint.ts';
import type { ModelFacts } from './model-facts.ts';

export function publishedConfig(name: string): JsonObject {
  const url = new URL(`../../test/fixtures/model-configs/${name}.json`, import.meta.url);
  const parsed: unknown = JSON.parse(readFileSync(url, 'utf8'));
  if (!isObject(parsed)) throw new Error(`${name} is not an object`);
  return parsed;
}

export function publishedFacts(name: string, changes: JsonObject = {}): ModelFacts {
  const facts = factsFromConfig({ ...publishedConfig(name), ...changes });
  if (!facts.ok) throw new Error(`${name}: ${facts.error.missing.join('; ')}`);
  return facts.value;
}

export function request(changes: Partial<FootprintRequest> = {}): FootprintRequest {
  return {
    tensorParallel: 1,
    pipelineParallel: 1,
    maxModelLen: 4096,
    sequences: 1,
    kvType: 'auto',
    dtype: null,
    quantization: null,
    ...changes,
  };
}
