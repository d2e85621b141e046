/** Simulated devices: their memory is what the ledger of the simulated engines says. */

import type { DevicesConfig } from '../config/resolved-config.ts';
import { type Ledger, prepareLedger } from '../engines/simulated/ledger.ts';
import type { RawSource, RawUses } from './raw-device.ts';

/** Creates the ledger in `directory` when it is first asked for; claims of engines that still run there are kept. */
export function simulatedLedger(config: DevicesConfig, directory: string): () => Ledger {
  let ledger: Ledger | null = null;
  return () => {
    ledger ??= prepareLedger(
      directory,
      config.simulated.map((device, index) => ({
        id: device.id,
        name: `Simulated GPU ${index}`,
        totalMib: device.memoryMib,
      })),
      config.simulatedHostMemoryMib,
    );
    return ledger;
  };
}

export function createSimulatedSource(config: DevicesConfig, opened: () => Ledger): RawSource {
  return {
    async read() {
      if (config.simulated.length === 0) {
        const text = '`devices.source` is `simulated`, but `devices.simulated` lists no device.';
        const conditions = [{ code: 'simulated_no_devices', text }];
        return { devices: [], conditions, complete: true, uses: new Map() };
      }
      const devices = opened().devices.map((device, index) => ({
        id: device.id,
        name: device.name,
        source: 'simulated' as const,
        index,
        totalMib: device.totalMib,
        unified: false,
      }));
      return { devices, conditions: [], complete: true, uses: usesOf(opened()) };
    },
    async memory(devices) {
      return { uses: devices.length === 0 ? new Map() : usesOf(opened()), failure: null };
    },
    async processes(devices) {
      const uses = devices.length === 0 ? [] : opened().read();
      const byDevice = new Map(
        uses.map(({ device, claims }) => [device.id, claims.map(({ pid, usedMib }) => ({ pid, usedMib }))]),
      );
      return { byDevice, conditions: [] };
    },
    stream: () => null,
  };
}

function usesOf(ledger: Ledger): RawUses {
  return new Map(ledger.read().map(({ device, usedMib }) => [device.id, usedMib]));
}
