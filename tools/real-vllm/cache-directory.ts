/**
 * Where the real components of the tests live: outside the checkout, so that a clean clone finds what an earlier
 * one installed. `VLLM_GATEWAY_TEST_CACHE` moves it, for a disk with more room.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Absolute path of the cache; it may not exist yet. */
export function cacheDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  const chosen = environment.VLLM_GATEWAY_TEST_CACHE;
  if (chosen !== undefined && chosen !== '') return chosen;
  const base = environment.XDG_CACHE_HOME;
  return join(base !== undefined && base !== '' ? base : join(homedir(), '.cache'), 'vllm-gateway-test');
}
