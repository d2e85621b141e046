/** The policies by their names: production's, and what to compare it with (docs/policies.md). */
import type { SwapPolicy } from '../../scheduler/swap-policy.ts';
import { TURNS } from '../../scheduler/turns-policy.ts';
import { fifoSwap } from './fifo-swap.ts';
import { landlord } from './landlord.ts';
import { llamaSwap } from './llama-swap.ts';
import { lru, lruSleep } from './lru.ts';
import { ollama } from './ollama.ts';
import { quota } from './quota.ts';
import { skiRental, ttl } from './ttl.ts';

const POLICIES: readonly SwapPolicy[] = [
  TURNS,
  llamaSwap,
  lru,
  lruSleep,
  ollama,
  fifoSwap,
  ttl,
  skiRental,
  landlord,
  quota,
];

/** `default` first: production's policy, also under its own name. */
export const policyNames: readonly string[] = ['default', ...POLICIES.map(({ name }) => name)];

/** Null: there is no such policy. */
export function policyNamed(name: string): SwapPolicy | null {
  return name === 'default' ? TURNS : (POLICIES.find((policy) => policy.name === name) ?? null);
}
