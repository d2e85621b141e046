/** The policy of production: turns, linger, losses, the index (design.md). */
import { rebalance } from './rebalance.ts';
import type { SwapPolicy } from './swap-policy.ts';

export const TURNS: SwapPolicy = { name: 'turns', rebalance };
