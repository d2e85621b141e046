/**
 * The machine's own memory as one device, within the limits of the control groups that we live in.
 *
 * What is left is the least of what the machine has available (others on it may hold more than our limit leaves to them)
 * and what each group has left; what is used is the rest of the total.
 */
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
        name: groupLimits(facts).length === 0 ? 'host memory' : 'host memory within a control group',
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

/** Memory that this process and its children may have at most, within the limits of the control groups. */
export function hostTotalMib(facts: HostFacts): number {
  return Math.floor(totalBytes(facts, groupLimits(facts)) / MIB);
}

/** Memory that cannot be had without taking it from somebody: page cache does not count. */
export function hostUsedMib(facts: HostFacts): number {
  const groups = groupLimits(facts);
  const leftBytes = Math.min(
    availableBytes(facts),
    ...groups.map((group) => group.limitBytes - Math.max(0, group.currentBytes - group.reclaimableBytes)),
  );
  return Math.round(Math.max(0, totalBytes(facts, groups) - Math.max(0, leftBytes)) / MIB);
}

function totalBytes(facts: HostFacts, groups: readonly GroupLimit[]): number {
  return Math.min(facts.totalMemoryBytes(), ...groups.map(({ limitBytes }) => limitBytes));
}

/** Of the machine, whatever our limits are. */
function availableBytes(facts: HostFacts): number {
  const available = /^MemAvailable:\s+(\d+) kB/m.exec(facts.readFile('/proc/meminfo') ?? '')?.[1];
  return available === undefined ? facts.freeMemoryBytes() : Number(available) * 1024;
}

interface GroupLimit {
  readonly limitBytes: number;
  readonly currentBytes: number;
  /** Page cache: a group that reaches its limit gets it back before it must do without memory. */
  readonly reclaimableBytes: number;
}

/** Each limit on the way from our control group to the root. */
function groupLimits(facts: HostFacts): GroupLimit[] {
  const groups = facts.readFile('/proc/self/cgroup') ?? '';
  const limits: GroupLimit[] = [];
  for (const line of groups.split('\n')) {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    const version = controllers === '' ? 2 : controllers.split(',').includes('memory') ? 1 : null;
    if (version === null || path === '') continue;
    for (const directory of ancestors(version === 2 ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory', path)) {
      const found = version === 2 ? readVersion2(facts, directory) : readVersion1(facts, directory);
      if (found !== null) limits.push(found);
    }
  }
  return limits;
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
    reclaimableBytes: pageCache(facts.readFile(`${directory}/memory.stat`), ''),
  };
}

function readVersion1(facts: HostFacts, directory: string): GroupLimit | null {
  const limitBytes = bytes(facts.readFile(`${directory}/memory.limit_in_bytes`));
  if (limitBytes === null || limitBytes >= NO_LIMIT_BYTES) return null;
  return {
    limitBytes,
    currentBytes: bytes(facts.readFile(`${directory}/memory.usage_in_bytes`)) ?? 0,
    reclaimableBytes: pageCache(facts.readFile(`${directory}/memory.stat`), 'total_'),
  };
}

/** Weights that were read more than once, as by a second start, are in the active half. Shared memory is in neither. */
function pageCache(stat: string | null, prefix: '' | 'total_'): number {
  const field = (name: string) =>
    Number(new RegExp(`^${prefix}${name} (\\d+)`, 'm').exec(stat ?? '')?.[1] ?? 0);
  return field('inactive_file') + field('active_file');
}

/** `max` (no limit) and unreadable files are null. */
function bytes(text: string | null): number | null {
  const found = /^\d+/.exec(text?.trim() ?? '')?.[0];
  return found === undefined ? null : Number(found);
}
