/** A front's desk for responses where no model keeps any. */
import { BackgroundResponses } from '../../src/control/background-responses.ts';
import type { Gate } from '../../src/control/gate.ts';
import type { Clock } from '../../src/core/clock.ts';
import { ResponseDesk } from '../../src/http/response-desk.ts';
import { ResponseOwners } from '../../src/http/response-owners.ts';

export function storelessDesk(gate: Gate, clock: Clock): ResponseDesk {
  return new ResponseDesk({
    models: new Map(),
    owners: new ResponseOwners(() => null),
    background: new BackgroundResponses({ gate, clock, log: () => {}, ended: () => {} }),
    gate,
  });
}
