/**
 * llama-swap v250 (its scheduler loop and Swapper): requests of a resident model pass at once, whoever waits; the model whose
 * request has waited longest evicts everything on its devices as soon as nothing there is in flight. It knows no memory,
 * so a device holds one model; no sleep, no minimum residence, and devices are not set aside while something runs on
 * them: clients whose requests overlap keep theirs for ever.
 * llama-swap's users assign devices by hand; here a model takes free ones, else those that were used longest ago.
 */
import { definePolicy } from '../../scheduler/define-policy.ts';
import { seatInOrder } from './make-room.ts';

export const llamaSwap = definePolicy('llama-swap', () => ({
  review(desk) {
    seatInOrder(desk, {
      // What waits for a resident model beyond its slots is not in flight, but its slots are full then.
      mayGo: (engine) => engine.inFlight === 0,
      rank: (engine) => engine.lastUseMs,
      how: () => 'stop',
      everybody: true,
      why: 'nothing is in flight there',
    });
  },
}));
