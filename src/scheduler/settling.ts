/** What waits for its neighbours: the end of a drain, and sleepers that are to go. */
import { isMoving } from './engine-state.ts';
import { waySleeping } from './host-memory.ts';
import { mayLeave } from './move-budget.ts';
import { resumeFromDrain, stopEngine } from './moves.ts';
import { hasDelicateNeighbour, hasNeighbour } from './neighbours.ts';
import { fallAsleep } from './sleeping.ts';
import type { Decision } from './state.ts';
import { canSleep } from './turn.ts';

/**
 * A drain ends when nothing runs any more, and no neighbour is at a delicate point: memory that comes back while vLLM
 * profiles breaks its start. A sleep also waits for neighbours that stop: what it freed could not be told apart.
 */
export function settleDrains(d: Decision): void {
  // Engines of an earlier gateway are still being found: one of them may be at such a point.
  if (!d.state.devicesKnown) return;
  const { engines } = d.state;
  let model = engines.nextLeaving(0);
  for (; model !== null; model = engines.nextLeaving(model.order)) {
    const engine = model.engine;
    if (engine.kind === 'asleep') {
      if (engine.leaving !== null && model.running.size === 0 && !hasDelicateNeighbour(d, model))
        stopEngine(d, model, engine.leaving);
      continue;
    }
    if (engine.kind !== 'draining' || model.running.size > 0 || hasDelicateNeighbour(d, model)) continue;
    // What it was to be paid from has been spent by others: it serves on.
    if (!mayLeave(d.state, engine, d.nowMs)) {
      resumeFromDrain(d, model);
      d.review = true;
      continue;
    }
    const how = engine.how === 'sleep' ? waySleeping(d, model) : 'stop';
    if (how === 'wait' || (how === 'sleep' && hasNeighbour(d, model, isMoving))) continue;
    if (how === 'sleep') fallAsleep(d, model);
    else {
      const instead =
        engine.how === 'sleep' && canSleep(model) ? '; host memory has no room for it asleep' : '';
      stopEngine(d, model, `${engine.reason}${instead}`);
    }
  }
}
