/**
 * One queue for all models whose head blocks everybody: not even a resident model's request passes one that came earlier. The
 * head's model is brought up in the place of the idle engines that were used longest ago. Only to show that it is hopeless.
 */
import { definePolicy } from '../../scheduler/define-policy.ts';
import { makeRoom } from './make-room.ts';

export const fifoSwap = definePolicy('fifo-swap', () => ({
  review(desk) {
    let head = desk.firstInLine;
    for (let passed = true; passed && head?.phase === 'awake'; head = desk.firstInLine) {
      const { queueLength } = head;
      desk.passOn(head);
      passed = head.queueLength < queueLength;
    }
    // An operator's wish waits for a moment without requests.
    const next = desk.waiting.find((model) => head === null || model.name === head.name);
    if (next === undefined) return;
    makeRoom(desk, next, {
      mayGo: (engine) => engine.inFlight === 0,
      rank: (engine) => engine.lastUseMs,
      how: () => 'stop',
      why: 'it is idle and was used longest ago',
    });
  },
  mayPass(model, look) {
    const head = look.firstInLine;
    return head === null || head.name === model.name;
  },
}));
