/**
 * The background responses that engines work on (`background: true`), each of which holds its engine as a running request
 * does. What is decided about them is decided by the scheduler, which knows them by their leases.
 */
import type { Clock } from '../core/clock.ts';
import type { ModelName } from '../core/ids.ts';
import { type BackgroundEnd, BackgroundHold, type HeldResponse } from './background-hold.ts';
import type { Gate } from './gate.ts';

/** What the activity log and the like are told of a background response that has ended. */
export interface EndedBackground {
  readonly model: ModelName;
  readonly responseId: string;
  readonly clientRequestId: string;
  readonly durationMs: number;
  readonly end: BackgroundEnd;
}

export interface BackgroundPorts {
  readonly gate: Gate;
  readonly clock: Clock;
  readonly log: (level: 'info' | 'warn', text: string, fields: Record<string, unknown>) => void;
  readonly ended: (ended: EndedBackground) => void;
}

export class BackgroundResponses {
  readonly #ports: BackgroundPorts;
  readonly #holds = new Map<string, BackgroundHold>();

  constructor(ports: BackgroundPorts) {
    this.#ports = ports;
  }

  get size(): number {
    return this.#holds.size;
  }

  /** Models with background responses in flight, and how many. */
  counts(): ReadonlyMap<ModelName, number> {
    const counts = new Map<ModelName, number>();
    for (const { response } of this.#holds.values()) {
      const { model } = response.lease;
      counts.set(model, (counts.get(model) ?? 0) + 1);
    }
    return counts;
  }

  /** Takes a running lease over from the request that created the response; it ends here. */
  hold(response: HeldResponse): BackgroundHold {
    const { gate, clock, log, ended } = this.#ports;
    // A second create with the same id ends the first one's lease: the engine knows one of them.
    this.#holds.get(response.responseId)?.letGo();
    const { model, requestId } = response.lease;
    const { responseId, clientRequestId } = response;
    const hold = new BackgroundHold(response, {
      clock,
      finish: (id, outcome) => gate.finish(id, outcome),
      log,
      ended: (one, end) => {
        if (this.#holds.get(responseId) === one) this.#holds.delete(responseId);
        const durationMs = clock.nowMs() - one.startedMs;
        ended({ model, responseId, clientRequestId, durationMs, end });
      },
    });
    this.#holds.set(responseId, hold);
    gate.handOver(requestId, hold);
    return hold;
  }

  /** For requests about a background response in flight: the way to its engine also while that drains; null: there is none. */
  gateOf(responseId: string): Gate | null {
    const hold = this.#holds.get(responseId);
    return hold?.takesRiders === true ? hold : null;
  }

  /** Ends all leases; the engines live on, and work on. */
  letGo(): void {
    for (const hold of [...this.#holds.values()]) hold.letGo();
  }
}
