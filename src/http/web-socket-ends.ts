/** How WebSockets end: what their client is told, and what is counted. */
import type { Outcome } from '../control/gate.ts';
import { errorMessage, type Refusal } from '../core/errors.ts';
import {
  CLOSE_GOING_AWAY,
  CLOSE_SERVICE_RESTART,
  CLOSE_TRY_AGAIN_LATER,
  type CloseReason,
} from '../proxy/close-frame.ts';
import type { TunnelEnd } from '../proxy/tunnel.ts';

export const STARTED_ANEW: CloseReason = {
  code: CLOSE_SERVICE_RESTART,
  text: 'the engine was started anew; connect again',
};

/** To a client whose engine gives way, or whose gateway ends. */
export function farewell(draining: boolean): CloseReason {
  return draining
    ? { code: CLOSE_GOING_AWAY, text: 'the gateway is shutting down' }
    : { code: CLOSE_SERVICE_RESTART, text: 'the engine gives way to another model; connect again' };
}

/** The lease was cut. */
export function cutReason(refusal: Refusal): CloseReason {
  return reasonFor(refusal, CLOSE_SERVICE_RESTART);
}

/** A new lease was asked for and refused. */
export function refusedReason(refusal: Refusal): CloseReason {
  return reasonFor(refusal, CLOSE_TRY_AGAIN_LATER);
}

function reasonFor({ code, parameters }: Refusal, otherwise: number): CloseReason {
  return {
    code: code === 'shutting_down' ? CLOSE_GOING_AWAY : otherwise,
    text: errorMessage(code, parameters),
  };
}

/** `stalled`: the client took nothing and was ended for it. */
export function outcomeOf(end: TunnelEnd, stalled: boolean): Outcome {
  switch (end) {
    case 'passed':
      return 'answered';
    case 'closed':
      return 'cut';
    case 'engine_broke':
      return 'engine_error';
    case 'client_broke':
      return stalled ? 'client_stalled' : 'client_left';
  }
}
