/** The policy of production: turns, linger, credits, rounds (design.md). */
import { rebalance } from './rebalance.ts';
import type { SwapPolicy } from './swap-policy.ts';

export const TURNS: SwapPolicy = { name: 'turns', rebalance };
