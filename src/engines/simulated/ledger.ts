/**
 * The memory of simulated devices, shared by processes that know nothing of each other: what a driver keeps for real ones.
 *
 * L1. The claims on a device, and those on the host, never exceed its memory: what does not fit is refused as a whole.
 * L2. A change is one compare-and-swap: whoever links `state.<n+1>.json` first has it, everybody else reads again. There is
 *     no lock, so nobody can die while holding one.
 * L3. A claim counts only while its process lives (process id and start time), so SIGKILL releases as it does on a GPU.
 *     A claim from another process table (a container) is judged by its lock instead (ledger-holder.ts).
 */
import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from '../../core/assert.ts';
import { isLockHeld, numberHere, ownLock, ownProcessSpace } from './ledger-holder.ts';

/** Environment variable that names the directory of the ledger; without it an engine has no devices. */
export const LEDGER_VARIABLE = 'VLLM_SIM_LEDGER';

/** Among claims the host stands like a device of this name, which no device has. */
const HOST_POOL = '(host)';

/** Old versions kept for readers that are in the middle of one. */
const KEPT_VERSIONS = 8;
/** Attempts of one change before we believe that the directory is broken. */
const ATTEMPTS_MAX = 10_000;

export interface LedgerDevice {
  readonly id: string;
  readonly name: string;
  readonly totalMib: number;
}

export interface LedgerClaim {
  readonly deviceId: string;
  readonly pid: number;
  /** Tells two processes of the same id apart; null where the system does not say. */
  readonly startTime: string | null;
  readonly processName: string;
  readonly usedMib: number;
  /** Only of a process in another table than the ledger's maker: which one, and the lock that it holds. */
  readonly space?: string;
  readonly lock?: string;
}

/** One process's wish for one device: it replaces what the process holds there; 0 gives it back. */
export interface ClaimRequest {
  readonly deviceId: string;
  readonly usedMib: number;
}

export type ClaimResult =
  | { readonly kind: 'claimed' }
  | {
      readonly kind: 'refused';
      readonly deviceId: string;
      readonly freeMib: number;
      readonly totalMib: number;
    };

export interface DeviceUse {
  readonly device: LedgerDevice;
  readonly index: number;
  readonly usedMib: number;
  readonly claims: readonly LedgerClaim[];
}

/** The machine's own memory, in which engines that sleep keep their weights. */
export interface HostUse {
  readonly totalMib: number;
  readonly usedMib: number;
  readonly claims: readonly LedgerClaim[];
}

/** A ledger as this process has it. */
interface Book {
  readonly directory: string;
  /** Process table of whoever made it; null: not said. */
  readonly space: string | null;
}

interface LedgerState {
  readonly version: number;
  readonly claims: readonly LedgerClaim[];
}

export interface Ledger {
  readonly directory: string;
  readonly devices: readonly LedgerDevice[];
  /** Claims of living processes, by device in order. */
  read(): readonly DeviceUse[];
  /** All or none of `requests` for the process `pid`. Throws for a device that the ledger does not have. */
  claim(pid: number, processName: string, requests: readonly ClaimRequest[]): ClaimResult;
  /** Claims of living processes on the host; null where the ledger has no host memory. */
  host(): HostUse | null;
  /** Replaces what `pid` holds of the host. Without host memory in the ledger everything fits. */
  claimHost(pid: number, processName: string, usedMib: number): ClaimResult;
  /** Gives back all that `pid` holds, of devices and of the host. */
  release(pid: number): void;
}

/** Creates (or keeps) a ledger of these devices, and of `hostMib` of host memory. Living claims survive a second call. */
export function prepareLedger(
  directory: string,
  devices: readonly LedgerDevice[],
  hostMib: number | null = null,
): Ledger {
  mkdirSync(directory, { recursive: true });
  const temporary = join(directory, `devices.${randomBytes(6).toString('hex')}.tmp`);
  writeFileSync(
    temporary,
    JSON.stringify({ devices, space: ownProcessSpace(), ...(hostMib === null ? {} : { hostMib }) }),
  );
  renameSync(temporary, join(directory, 'devices.json'));
  return openLedger(directory);
}

/** Opens a ledger that exists. Throws when the directory is none. */
export function openLedger(directory: string): Ledger {
  const parsed = JSON.parse(readFileSync(join(directory, 'devices.json'), 'utf8')) as {
    devices: LedgerDevice[];
    hostMib?: number;
    space?: string | null;
  };
  const book: Book = { directory, space: parsed.space ?? null };
  const living = (): LedgerClaim[] => livingClaims(book, readState(directory).claims).map(asSeenHere);
  const devices = parsed.devices;
  const hostPools: readonly LedgerDevice[] =
    parsed.hostMib === undefined ? [] : [{ id: HOST_POOL, name: 'host memory', totalMib: parsed.hostMib }];
  return {
    directory,
    devices,
    read: () => usesOf(devices, living()),
    claim: (pid, processName, requests) => claim(book, devices, pid, processName, requests),
    host: () => {
      const [use] = usesOf(hostPools, living());
      return use === undefined
        ? null
        : { totalMib: use.device.totalMib, usedMib: use.usedMib, claims: use.claims };
    },
    claimHost: (pid, processName, usedMib) =>
      claim(
        book,
        hostPools,
        pid,
        processName,
        hostPools.map(({ id }) => ({ deviceId: id, usedMib })),
      ),
    release: (pid) => {
      const mine = isOf(holderOf(book, pid));
      change(book, (claims) => ({ claims: claims.filter((held) => !mine(held)), result: null }));
    },
  };
}

/** What says whose claim it is: a process id alone only within one process table. */
type Holder = Pick<LedgerClaim, 'pid' | 'space' | 'lock'>;

function holderOf({ directory, space }: Book, pid: number): Holder {
  const own = ownProcessSpace();
  return own === null || space === null || own === space
    ? { pid }
    : { pid, space: own, lock: ownLock(directory) };
}

function isOf(holder: Holder): (claim: LedgerClaim) => boolean {
  return (claim) => claim.pid === holder.pid && claim.space === holder.space && claim.lock === holder.lock;
}

function claim(
  book: Book,
  devices: readonly LedgerDevice[],
  pid: number,
  processName: string,
  requests: readonly ClaimRequest[],
): ClaimResult {
  const startTime = processStartTime(pid);
  const holder = holderOf(book, pid);
  const mine = isOf(holder);
  return change<ClaimResult>(book, (claims) => {
    let next = claims;
    for (const request of requests) {
      const device = devices.find((candidate) => candidate.id === request.deviceId);
      assert(device !== undefined, `the ledger has no device ${request.deviceId}`);
      const others = next.filter((held) => held.deviceId !== device.id || !mine(held));
      const freeMib = device.totalMib - usedOn(others, device.id);
      if (request.usedMib > freeMib) {
        const own = usedOn(next, device.id) - usedOn(others, device.id);
        return {
          claims: null,
          result: {
            kind: 'refused',
            deviceId: device.id,
            freeMib: freeMib - own,
            totalMib: device.totalMib,
          },
        };
      }
      next =
        request.usedMib === 0
          ? others
          : [...others, { deviceId: device.id, ...holder, startTime, processName, usedMib: request.usedMib }];
    }
    return { claims: next, result: { kind: 'claimed' } };
  });
}

/** Applies a pure change to the living claims (L2). `claims: null` leaves them as they are. */
function change<T>(
  book: Book,
  apply: (claims: readonly LedgerClaim[]) => {
    readonly claims: readonly LedgerClaim[] | null;
    readonly result: T;
  },
): T {
  const { directory } = book;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const state = readState(directory);
    const applied = apply(livingClaims(book, state.claims));
    if (applied.claims === null) return applied.result;
    if (commit(directory, { version: state.version + 1, claims: applied.claims })) return applied.result;
  }
  throw new Error(`the memory ledger ${directory} could not be changed in ${ATTEMPTS_MAX} attempts`);
}

function commit(directory: string, next: LedgerState): boolean {
  const nonce = randomBytes(8).toString('hex');
  const temporary = join(directory, `state.${nonce}.tmp`);
  const target = join(directory, versionName(next.version));
  writeFileSync(temporary, JSON.stringify({ ...next, nonce }));
  try {
    linkSync(temporary, target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
  const versions = listVersions(directory);
  // A writer that slept so long that its number had been tidied away would believe in a change nobody will read.
  const newest = versions.at(-1) ?? next.version;
  if (newest >= next.version + KEPT_VERSIONS) {
    rmSync(target, { force: true });
    return false;
  }
  for (const version of versions) {
    if (version <= newest - KEPT_VERSIONS) rmSync(join(directory, versionName(version)), { force: true });
  }
  return true;
}

function readState(directory: string): LedgerState {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const version = listVersions(directory).at(-1);
    if (version === undefined) return { version: 0, claims: [] };
    try {
      return JSON.parse(readFileSync(join(directory, versionName(version)), 'utf8')) as LedgerState;
    } catch (error) {
      // Tidied away between the listing and the reading: there is a newer one.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  throw new Error(`the memory ledger ${directory} could not be read in ${ATTEMPTS_MAX} attempts`);
}

function versionName(version: number): string {
  return `state.${version}.json`;
}

function listVersions(directory: string): number[] {
  const versions: number[] = [];
  for (const name of readdirSync(directory)) {
    const found = /^state\.(\d+)\.json$/.exec(name);
    if (found) versions.push(Number(found[1]));
  }
  return versions.sort((left, right) => left - right);
}

function usedOn(claims: readonly LedgerClaim[], deviceId: string): number {
  let usedMib = 0;
  for (const held of claims) if (held.deviceId === deviceId) usedMib += held.usedMib;
  return usedMib;
}

function usesOf(devices: readonly LedgerDevice[], claims: readonly LedgerClaim[]): DeviceUse[] {
  return devices.map((device, index) => ({
    device,
    index,
    usedMib: usedOn(claims, device.id),
    claims: claims.filter((held) => held.deviceId === device.id),
  }));
}

function livingClaims(book: Book, claims: readonly LedgerClaim[]): LedgerClaim[] {
  const own = ownProcessSpace();
  const alive = new Map<string, boolean>();
  return claims.filter((held) => {
    const key = `${held.space} ${held.pid} ${held.startTime}`;
    let lives = alive.get(key);
    if (lives === undefined) {
      lives = counts(book, own, held);
      alive.set(key, lives);
    }
    return lives;
  });
}

/** L3. */
function counts({ directory, space }: Book, own: string | null, held: LedgerClaim): boolean {
  const { pid, startTime, lock } = held;
  if ((held.space ?? space ?? own) === own) return isAlive(pid, startTime);
  // Of a process outside, whose table we cannot see, nothing says that it is gone.
  return lock === undefined || isLockHeld(directory, lock);
}

/** A claim from another process table with the number that its process has in ours, where it has one. */
function asSeenHere(held: LedgerClaim): LedgerClaim {
  if (held.space === undefined || held.space === ownProcessSpace()) return held;
  return { ...held, pid: numberHere(held.space, held.pid) ?? held.pid };
}

function isAlive(pid: number, startTime: string | null): boolean {
  if (process.platform === 'linux') {
    const found = processStartTime(pid);
    return found !== null && (startTime === null || found === startTime);
  }
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Start time in clock ticks since boot; null for a process that is gone or a zombie, and off Linux. */
export function processStartTime(pid: number): string | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return null;
  }
  // The command name stands in parentheses and may contain anything, so fields are counted from the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  if (state === 'Z' || state === 'X') return null;
  return fields[19] ?? null;
}
