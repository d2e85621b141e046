/** The machine's own memory as one device, within the limit of the control group that we live in. */
import type { RawDevice, RawSource } from './raw-device.ts';

const HOST_DEVICE_ID = 'host';

const MIB = 1024 * 1024;
/** cgroup v1 writes "no limit" as the largest page-aligned number. */
const NO_LIMIT_BYTES = 2 ** 60;

/** What the host source reads; a port, so that recorded machines can be tested. */
export interface HostFacts {
  /** Text of a file under /proc or /sys; null when it cannot be read. */
  readonly readFile: (path: string) => string | null;
  readonly totalMemoryBytes: () => number;
  readonly freeMemoryBytes: () => number;
}

export function createHostSource(facts: HostFacts): RawSource {
  return {
    async read() {
      const device: RawDevice = {
        id: HOST_DEVICE_ID,
        name: groupLimit(facts) === null ? 'host memory' : 'host memory within a control group',
        source: 'host',
        index: 0,
        totalMib: hostTotalMib(facts),
        unified: true,
      };
      const uses = new Map([[device.id, hostUsedMib(facts)]]);
      return { devices: [device], conditions: [], complete: true, uses };
    },
    async memory(devices) {
      return { uses: new Map(devices.map(({ id }) => [id, hostUsedMib(facts)])), failure: null };
    },
    // Resident sizes share pages with the cache and with each other: the device's own difference is the better figure.
    processes: async () => ({ byDevice: null, conditions: [] }),
    stream: () => null,
  };
}

/** Memory that this process and its children may have at most, within the limit of the control group. */
export function hostTotalMib(facts: HostFacts): number {
  const limitBytes = groupLimit(facts)?.limitBytes ?? Number.POSITIVE_INFINITY;
  return Math.floor(Math.min(facts.totalMemoryBytes(), limitBytes) / MIB);
}

export function hostUsedMib(facts: HostFacts): number {
  return Math.round(usedBytes(facts) / MIB);
}

/** Memory that cannot be had without taking it from somebody: page cache does not count. */
function usedBytes(facts: HostFacts): number {
  const limit = groupLimit(facts);
  if (limit !== null && limit.limitBytes < facts.totalMemoryBytes()) {
    return Math.max(0, limit.currentBytes - limit.reclaimableBytes);
  }
  const available = /^MemAvailable:\s+(\d+) kB/m.exec(facts.readFile('/proc/meminfo') ?? '')?.[1];
  const availableBytes = available === undefined ? facts.freeMemoryBytes() : Number(available) * 1024;
  return Math.max(0, facts.totalMemoryBytes() - availableBytes);
}

interface GroupLimit {
  readonly limitBytes: number;
  readonly currentBytes: number;
  readonly reclaimableBytes: number;
}

/** The tightest limit on the way from our control group to the root; null without one. */
function groupLimit(facts: HostFacts): GroupLimit | null {
  const groups = facts.readFile('/proc/self/cgroup') ?? '';
  let tightest: GroupLimit | null = null;
  for (const line of groups.split('\n')) {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    const version = controllers === '' ? 2 : controllers.split(',').includes('memory') ? 1 : null;
    if (version === null || path === '') continue;
    for (const directory of ancestors(version === 2 ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory', path)) {
      const found = version === 2 ? readVersion2(facts, directory) : readVersion1(facts, directory);
      if (found !== null && found.limitBytes < (tightest?.limitBytes ?? NO_LIMIT_BYTES)) tightest = found;
    }
  }
  return tightest;
}

/** In a container the path of the host does not exist below the mount, so the mount itself is always asked. */
function ancestors(mount: string, path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '..');
  return parts.map((_, at) => `${mount}/${parts.slice(0, at + 1).join('/')}`).concat(mount);
}

function readVersion2(facts: HostFacts, directory: string): GroupLimit | null {
  const limitBytes = bytes(facts.readFile(`${directory}/memory.max`));
  if (limitBytes === null) return null;
  return {
    limitBytes,
    currentBytes: bytes(facts.readFile(`${directory}/memory.current`)) ?? 0,
    reclaimableBytes: inactiveFile(facts.readFile(`${directory}/memory.stat`), 'inactive_file'),
  };
}

function readVersion1(facts: HostFacts, directory: string): GroupLimit | null {
  const limitBytes = bytes(facts.readFile(`${directory}/memory.limit_in_bytes`));
  if (limitBytes === null || limitBytes >= NO_LIMIT_BYTES) return null;
  return {
    limitBytes,
    currentBytes: bytes(facts.readFile(`${directory}/memory.usage_in_bytes`)) ?? 0,
    reclaimableBytes: inactiveFile(facts.readFile(`${directory}/memory.stat`), 'total_inactive_file'),
  };
}

function inactiveFile(stat: string | null, key: string): number {
  return Number(new RegExp(`^${key} (\\d+)`, 'm').exec(stat ?? '')?.[1] ?? 0);
}

/** `max` (no limit) and unreadable files are null. */
function bytes(text: string | null): number | null {
  const found = /^\d+/.exec(text?.trim() ?? '')?.[0];
  return found === undefined ? null : Number(found);
}
