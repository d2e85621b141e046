/** What the machine tells of its disks, limits, state directory and clock. Nothing is written. */
import { existsSync, readFileSync } from 'node:fs';
import { access, constants, lstat, readdir, stat, statfs } from 'node:fs/promises';
import { homedir, hostname, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { Environment } from '../config/environment.ts';
import { overridesFilePermissions } from '../runtimes/file-permissions.ts';
import { readStateOwner } from '../store/state-lock.ts';
import type { ClockFacts, DiskFacts, HubCacheFacts, LimitFacts, StateFacts } from './machine-facts.ts';

const MIB = 1024 * 1024;
/** Files of the cache whose sizes are added up; a larger one is not counted. */
const CACHE_ENTRIES_MAX = 20_000;
const PACKAGE_FILE = new URL('../../package.json', import.meta.url);

export async function diskFacts(
  environment: Environment,
  hubCache: string,
  stateDirectory: string,
): Promise<readonly DiskFacts[]> {
  const home = environment['HOME'] || homedir();
  const caches = environment['XDG_CACHE_HOME'] || join(home, '.cache');
  const places: readonly (readonly [string, string, DiskFacts['kind']])[] = [
    ['model weights', hubCache, 'weights'],
    ['compiled graphs', environment['VLLM_CACHE_ROOT'] || join(caches, 'vllm'), 'small'],
    ['gateway state', stateDirectory, 'small'],
    ['temporary files', tmpdir(), 'small'],
  ];
  return Promise.all(places.map(([use, path, kind]) => diskOf(use, path, kind)));
}

async function diskOf(use: string, path: string, kind: DiskFacts['kind']): Promise<DiskFacts> {
  const found = await statfs(nearestExisting(path)).catch(() => null);
  return {
    use,
    path,
    kind,
    freeMib: found === null ? null : (found.bavail * found.bsize) / MIB,
    totalMib: found === null ? null : (found.blocks * found.bsize) / MIB,
  };
}

export async function sharedMemoryMib(): Promise<number | null> {
  const found = await statfs('/dev/shm').catch(() => null);
  return found === null ? null : (found.blocks * found.bsize) / MIB;
}

/** Where a directory would be made. */
function nearestExisting(path: string): string {
  let at = resolve(path);
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return at;
}

async function isWritable(path: string): Promise<boolean> {
  try {
    await access(nearestExisting(path), constants.W_OK | constants.X_OK);
    return true;
  } catch (error) {
    // `access` asks as if there were no capabilities.
    const isForbidden = error instanceof Error && 'code' in error && error.code === 'EACCES';
    return isForbidden && overridesFilePermissions();
  }
}

export async function hubCacheFacts(path: string): Promise<HubCacheFacts> {
  const exists = existsSync(path);
  return { path, exists, isWritable: await isWritable(path), sizeMib: exists ? await sizeMibOf(path) : null };
}

/** Snapshots are links into `blobs`, so links are not followed and nothing counts twice. */
async function sizeMibOf(root: string): Promise<number | null> {
  let bytes = 0;
  let seen = 0;
  const folders = [root];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
      seen += 1;
      if (seen > CACHE_ENTRIES_MAX) return null;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) folders.push(path);
      else if (entry.isFile()) bytes += (await lstat(path).catch(() => null))?.size ?? 0;
    }
  }
  return bytes / MIB;
}

export function limitFacts(connectionsMax: number): LimitFacts {
  const limits = textOf('/proc/self/limits') ?? '';
  const soft = (name: string): number | null =>
    wholeNumber(new RegExp(`^${name}\\s+(\\d+)`, 'm').exec(limits)?.[1]);
  return {
    openFiles: soft('Max open files'),
    processes: soft('Max processes'),
    groupProcesses: groupProcesses(),
    inotifyWatches: wholeNumber(textOf('/proc/sys/fs/inotify/max_user_watches')),
    connectionsMax,
  };
}

/** `max`, or no such file: no limit. In a container the group's own directory is the mount itself. */
function groupProcesses(): number | null {
  const groups = textOf('/proc/self/cgroup') ?? '';
  const files = groups.split('\n').flatMap((line) => {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (path === '' || (controllers !== '' && controllers !== 'pids')) return [];
    const mount = controllers === '' ? '/sys/fs/cgroup' : '/sys/fs/cgroup/pids';
    return [join(mount, path, 'pids.max'), join(mount, 'pids.max')];
  });
  const limits = files.map((file) => wholeNumber(textOf(file))).filter((limit) => limit !== null);
  return limits.length === 0 ? null : Math.min(...limits);
}

function wholeNumber(text: string | null | undefined): number | null {
  const digits = /^\d+$/.exec(text?.trim() ?? '')?.[0];
  return digits === undefined ? null : Number(digits);
}

export async function stateFacts(directory: string): Promise<StateFacts> {
  const path = resolve(directory);
  const found = await stat(path).catch(() => null);
  const uid = process.getuid?.();
  // Another user's lock may be unreadable; then it is that user's directory that is told about.
  const owner = await readStateOwner(path).catch(() => null);
  return {
    path,
    exists: found !== null,
    isWritable: (found === null || found.isDirectory()) && (await isWritable(path)),
    isOurs: found === null || uid === undefined || found.uid === uid,
    ownerPid: owner?.isHeld === true ? owner.pid : null,
    isOwnerHere: owner?.hostName === hostname(),
  };
}

export async function clockFacts(): Promise<ClockFacts> {
  const installed = await stat(PACKAGE_FILE).catch(() => null);
  return { nowMs: Date.now(), installedMs: installed?.ctimeMs ?? null, isSynchronized: isSynchronized() };
}

/** systemd's own service leaves a mark once it has set the clock; other services are not asked. */
function isSynchronized(): boolean | null {
  if (existsSync('/run/systemd/timesync/synchronized')) return true;
  return existsSync('/run/systemd/timesync') ? false : null;
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
