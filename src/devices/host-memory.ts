/**
 * The memory of the host and what our engines hold of it.
 *
 *  H1. A process counts with the pages that only memory can hold: anonymous and shared ones. Files that it maps are page
 *      cache, which `usedMib` does not count either.
 *  H2. The kernel's counters are read (0.03 ms for any size), not its walk over the pages (`smaps_rollup`: 5 ms for each
 *      GiB, during which the process cannot map memory). So pages that processes of one launch share count once in each.
 *  H3. Pages that a driver pins for a process are among its shared ones only where the driver asks the kernel for shared
 *      memory; elsewhere they are in `usedMib` alone (device.ts, HostMemory).
 */
import type { LaunchId } from '../core/ids.ts';
import type { Ledger } from '../engines/simulated/ledger.ts';
import type { HostMemory } from './device.ts';
import { type HostFacts, hostTotalMib, hostUsedMib } from './host.ts';

const KIB_PER_MIB = 1024;

/** Living processes of our launches. */
export type ReadLaunchProcesses = () => Promise<ReadonlyMap<LaunchId, readonly number[]>>;

export type ReadHostMemory = () => Promise<HostMemory | null>;

/** A launch of whose processes none can be read (no /proc, another pid namespace) is not in the answer. */
export function createHostMemoryReader(facts: HostFacts, processesOf: ReadLaunchProcesses): ReadHostMemory {
  return async () => {
    const processes = await processesOf();
    const launches = new Map<LaunchId, number>();
    for (const [launchId, pids] of processes) {
      const kib = pids.flatMap((pid) => residentKib(facts.readFile(`/proc/${pid}/status`)) ?? []);
      if (kib.length === 0) continue;
      launches.set(launchId, Math.round(kib.reduce((sum, each) => sum + each, 0) / KIB_PER_MIB));
    }
    return { totalMib: hostTotalMib(facts), usedMib: hostUsedMib(facts), launches };
  };
}

/** What the ledger of simulated engines says of the simulated host. */
export function createSimulatedHostReader(
  opened: () => Ledger,
  ownerOf: (pid: number) => LaunchId | null,
): ReadHostMemory {
  return async () => {
    const host = opened().host();
    if (host === null) return null;
    const launches = new Map<LaunchId, number>();
    for (const { pid, usedMib } of host.claims) {
      const owner = ownerOf(pid);
      if (owner !== null) launches.set(owner, (launches.get(owner) ?? 0) + usedMib);
    }
    return { totalMib: host.totalMib, usedMib: host.usedMib, launches };
  };
}

/** H1. Old and foreign kernels tell only the sum, mapped files included. Null for a process that is gone. */
function residentKib(status: string | null): number | null {
  const field = (name: string): number | null => {
    const found = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status ?? '')?.[1];
    return found === undefined ? null : Number(found);
  };
  const anonymousKib = field('RssAnon');
  return anonymousKib === null ? field('VmRSS') : anonymousKib + (field('RssShmem') ?? 0);
}
