import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHostSource } from './host.ts';

const MIB = 1024 * 1024;

/** Of a machine of 16,000 MiB: what it is called, its files, and the total and use that they make. */
const GROUPS: readonly (readonly [string, Readonly<Record<string, string>>, number, number])[] = [
  [
    'control group v2',
    {
      '/proc/self/cgroup': '0::/system.slice/gateway.service\n',
      '/sys/fs/cgroup/system.slice/gateway.service/memory.max': '4194304000\n',
      '/sys/fs/cgroup/system.slice/gateway.service/memory.current': '2097152000\n',
      '/sys/fs/cgroup/system.slice/gateway.service/memory.stat': 'anon 1\ninactive_file 1048576000\n',
    },
    4000,
    1000,
  ],
  [
    'a limit of a parent group, max of our own',
    {
      '/proc/self/cgroup': '0::/a/b\n',
      '/sys/fs/cgroup/a/b/memory.max': 'max\n',
      '/sys/fs/cgroup/a/memory.max': '1048576000\n',
      '/sys/fs/cgroup/a/memory.current': '524288000\n',
    },
    1000,
    500,
  ],
  [
    'in a container the mount itself has the limit',
    { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/memory.max': '2097152000\n' },
    2000,
    0,
  ],
  [
    'control group v1',
    {
      '/proc/self/cgroup': '11:memory:/docker/x\n3:cpu:/docker/x\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '3145728000\n',
      '/sys/fs/cgroup/memory/memory.usage_in_bytes': '1048576000\n',
      '/sys/fs/cgroup/memory/memory.stat': 'total_inactive_file 524288000\n',
    },
    3000,
    500,
  ],
  [
    'page cache that is in use counts no more than idle one',
    {
      '/proc/self/cgroup': '0::/\n',
      '/sys/fs/cgroup/memory.max': `${12_000 * MIB}\n`,
      '/sys/fs/cgroup/memory.current': `${10_000 * MIB}\n`,
      '/sys/fs/cgroup/memory.stat': `anon ${2000 * MIB}\ninactive_file ${1000 * MIB}\nactive_file ${7000 * MIB}\n`,
      '/proc/meminfo': `MemAvailable: ${14_000 * 1024} kB\n`,
    },
    12_000,
    2000,
  ],
  [
    'page cache that is in use, control group v1',
    {
      '/proc/self/cgroup': '11:memory:/docker/x\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': `${12_000 * MIB}\n`,
      '/sys/fs/cgroup/memory/memory.usage_in_bytes': `${10_000 * MIB}\n`,
      '/sys/fs/cgroup/memory/memory.stat': `active_file 1\ntotal_inactive_file ${1000 * MIB}\ntotal_active_file ${7000 * MIB}\n`,
      '/proc/meminfo': `MemAvailable: ${14_000 * 1024} kB\n`,
    },
    12_000,
    2000,
  ],
  [
    'others hold more of the machine than our limit leaves to them',
    {
      '/proc/self/cgroup': '0::/\n',
      '/sys/fs/cgroup/memory.max': `${8000 * MIB}\n`,
      '/sys/fs/cgroup/memory.current': `${1000 * MIB}\n`,
      '/proc/meminfo': `MemAvailable: ${3000 * 1024} kB\n`,
    },
    8000,
    5000,
  ],
  [
    'a wider group that is fuller than our own',
    {
      '/proc/self/cgroup': '0::/a/b\n',
      '/sys/fs/cgroup/a/b/memory.max': `${4000 * MIB}\n`,
      '/sys/fs/cgroup/a/b/memory.current': `${1000 * MIB}\n`,
      '/sys/fs/cgroup/a/memory.max': `${8000 * MIB}\n`,
      '/sys/fs/cgroup/a/memory.current': `${7500 * MIB}\n`,
      '/proc/meminfo': `MemAvailable: ${14_000 * 1024} kB\n`,
    },
    4000,
    3500,
  ],
  [
    'v1 without a limit',
    {
      '/proc/self/cgroup': '11:memory:/\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
      '/proc/meminfo': 'MemTotal: 16384000 kB\nMemAvailable:   10240000 kB\n',
    },
    16_000,
    6000,
  ],
];

for (const [name, files, totalMib, usedMib] of GROUPS) {
  test(`host memory: ${name}`, async () => {
    const source = createHostSource({
      readFile: (path) => files[path] ?? null,
      totalMemoryBytes: () => 16_000 * MIB,
      freeMemoryBytes: () => 16_000 * MIB,
    });
    const { devices, uses } = await source.read();
    assert.deepEqual([devices[0]?.totalMib, uses.get('host')], [totalMib, usedMib]);
    assert.deepEqual((await source.memory(devices)).uses, uses);
  });
}
