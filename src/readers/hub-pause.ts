/**
 * Hubs that did not answer, so that the next readings do not wait for them too: each would take its whole time limit.
 * Kept by whoever reads many models; there are at most as many hubs as models.
 */
import type { HubAccess } from './hub-access.ts';
import type { ReadFault } from './read-fault.ts';

/** A hub that answered nothing to a whole reading is not asked again for so long. */
export const HUB_PAUSE_MS = 60_000;

export class HubPause {
  readonly #nowMs: () => number;
  readonly #silent = new Map<string, { readonly fault: ReadFault; readonly untilMs: number }>();

  /** `nowMs`: milliseconds that never go back. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Why the hub is not to be asked now; null: it may be. */
  faultOf(access: HubAccess): ReadFault | null {
    const found = this.#silent.get(wayTo(access));
    return found === undefined || found.untilMs <= this.#nowMs() ? null : found.fault;
  }

  /** It could not be reached, or accepted and said nothing. What a hub answers is no reason, even if it is a refusal. */
  wasSilent(access: HubAccess, fault: ReadFault): void {
    this.#silent.set(wayTo(access), { fault, untilMs: this.#nowMs() + HUB_PAUSE_MS });
  }

  answered(access: HubAccess): void {
    this.#silent.delete(wayTo(access));
  }
}

/** A hub may answer through one proxy and not through another. */
function wayTo({ endpoint, httpProxy, httpsProxy, noProxy }: HubAccess): string {
  return JSON.stringify([endpoint, httpProxy, httpsProxy, noProxy]);
}
