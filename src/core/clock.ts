/** Time as a port: the control loop runs on a real clock in production and on a virtual one in simulation. */
export interface Clock {
  /** Milliseconds that never go back and say nothing of the date. All durations and deadlines use this. */
  nowMs(): number;
  /** Milliseconds since 1970, for logs, records on disk and HTTP only. */
  wallMs(): number;
  /** Calls `fire` once at or after `atMs` (on the scale of `nowMs`). The returned function cancels it; calling it late is harmless. */
  setTimer(atMs: number, fire: () => void): CancelTimer;
}

export type CancelTimer = () => void;
