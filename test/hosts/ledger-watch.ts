/** Looks at the devices of a simulated host while it works: who holds how much, and whether that much was reserved. */
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { openLedger } from '../../src/engines/simulated/ledger.ts';
import type { GatewayStatusView, RunningGateway } from '../fixtures/gateway.ts';

const LOOK_MS = 40;
/** Every so many looks the gateway is asked what it has reserved. */
const STATUS_STEP = 8;
/** Process that holds an engine's memory; whatever has another name is foreign. */
const ENGINE = 'VLLM::EngineCore';

export interface Watched {
  readonly looks: number;
  /** Most that was held of each device, by whomever. */
  readonly peakMib: ReadonlyMap<string, number>;
  readonly peakHostMib: number;
  /** Moments at which more was held than there is, or engines held more than was reserved for them; in words. */
  readonly overCommits: readonly string[];
}

export class LedgerWatch {
  readonly #gateway: RunningGateway;
  readonly #peakMib = new Map<string, number>();
  readonly #overCommits: string[] = [];
  #peakHostMib = 0;
  #looks = 0;
  #ending = false;
  readonly #ended: Promise<void>;

  /** Begins to look. The devices must have been read. */
  constructor(gateway: RunningGateway) {
    this.#gateway = gateway;
    this.#ended = this.#look();
  }

  async end(): Promise<Watched> {
    this.#ending = true;
    await this.#ended;
    return {
      looks: this.#looks,
      peakMib: this.#peakMib,
      peakHostMib: this.#peakHostMib,
      overCommits: this.#overCommits,
    };
  }

  async #look(): Promise<void> {
    while (!this.#ending) {
      const before = this.#looks % STATUS_STEP === 0 ? await this.#gateway.status() : null;
      const held = this.#heldByEngines();
      if (before !== null) this.#compare(before, held, await this.#gateway.status());
      this.#looks += 1;
      await pause(LOOK_MS);
    }
  }

  /** MiB of our engines by device. */
  #heldByEngines(): ReadonlyMap<string, number> {
    const ledger = openLedger(join(this.#gateway.directory, 'state', 'ledger'));
    const held = new Map<string, number>();
    for (const { device, usedMib, claims } of ledger.read()) {
      this.#peakMib.set(device.id, Math.max(usedMib, this.#peakMib.get(device.id) ?? 0));
      if (usedMib > device.totalMib)
        this.#overCommits.push(`${usedMib} of ${device.totalMib} MiB are held on ${device.id}`);
      const ours = claims.filter(({ processName }) => processName === ENGINE);
      held.set(
        device.id,
        ours.reduce((sum, claim) => sum + claim.usedMib, 0),
      );
    }
    this.#peakHostMib = Math.max(this.#peakHostMib, ledger.host()?.usedMib ?? 0);
    return held;
  }

  /** Only where nothing has moved meanwhile: then both speak of the same moment. */
  #compare(before: GatewayStatusView, held: ReadonlyMap<string, number>, after: GatewayStatusView): void {
    for (const [id, gpu] of Object.entries(before.gpus)) {
      if (JSON.stringify(residentsOf(before, id)) !== JSON.stringify(residentsOf(after, id))) continue;
      const heldMib = held.get(id) ?? 0;
      if (heldMib > gpu.reserved_mib)
        this.#overCommits.push(
          `engines hold ${heldMib} MiB on ${id}, and ${gpu.reserved_mib} MiB are reserved for ${gpu.residents.join()}`,
        );
    }
  }
}

/** What stands on a device, in which state, and what is reserved for it. */
function residentsOf(status: GatewayStatusView, id: string): unknown {
  const gpu = status.gpus[id];
  return [gpu?.reserved_mib, gpu?.residents.map((name) => [name, status.models[name]?.state])];
}
