/** Judgements over the machine itself. Pure: facts in, checks out. */
import { type Check, fail, ok, sizeText, warn } from './check.ts';
import type {
  ClockFacts,
  DiskFacts,
  LimitFacts,
  MachineFacts,
  MemoryFacts,
  StateFacts,
} from './machine-facts.ts';

/** As in `engines` of package.json. */
export const NODE_MINIMUM: readonly [number, number] = [22, 18];

/** Weights of one model of seven billion parameters, and the same again while they are downloaded. */
const WEIGHTS_FREE_MIB = 30 * 1024;
const SMALL_FREE_MIB = 1024;
const FULL_MIB = 100;
/** What an engine's processes keep beside the weights. */
const ENGINE_HOST_MIB = 4 * 1024;
const HOST_FULL_SHARE = 0.95;
/** Our own files, logs and listeners. */
const OWN_FILES = 256;
/** An engine starts dozens of processes and hundreds of threads. */
const PROCESSES_LOW = 4096;
const WATCHES_LOW = 8192;
/** File systems and images disagree by hours about when something was installed. */
const CLOCK_SLACK_MS = 24 * 60 * 60_000;

export function judgeNode({ nodeVersion }: Pick<MachineFacts, 'nodeVersion'>): Check {
  const [major = 0, minor = 0] = nodeVersion.split('.').map(Number);
  const [leastMajor, leastMinor] = NODE_MINIMUM;
  const isEnough = major > leastMajor || (major === leastMajor && minor >= leastMinor);
  if (!isEnough)
    return fail(
      'node',
      `Node ${nodeVersion}`,
      `Install Node ${leastMajor}.${leastMinor} or newer; 24 is the version that is tested.`,
    );
  if (major % 2 === 1)
    return warn(
      'node',
      `Node ${nodeVersion}, which gets no long support`,
      'Use an even version, such as 24.',
    );
  return ok('node', `Node ${nodeVersion}`);
}

export function judgeProc({ hasProc, platform }: Pick<MachineFacts, 'hasProc' | 'platform'>): Check {
  if (hasProc) return ok('proc', '/proc can be read');
  return warn(
    'proc',
    `no /proc on ${platform}: processes that leave their group are not found, and engines are not adopted after a crash`,
    'Run the gateway on Linux, with /proc mounted and not hidden.',
  );
}

/** `runsVllm`: at least one model runs a real vLLM here. */
export function judgeMemory({ totalMib, usedMib, isLimited }: MemoryFacts, runsVllm: boolean): Check {
  const limit = isLimited ? ' within a control group' : '';
  const used = usedMib === null ? '' : `, ${sizeText(usedMib)} used`;
  const found = `${sizeText(totalMib)} of host memory${limit}${used}`;
  if (runsVllm && totalMib < ENGINE_HOST_MIB)
    return fail(
      'memory',
      found,
      `An engine keeps about ${sizeText(ENGINE_HOST_MIB)} of host memory: ${isLimited ? 'raise the limit of the control group' : 'use a machine with more'}.`,
    );
  if (usedMib !== null && usedMib > totalMib * HOST_FULL_SHARE)
    return warn('memory', found, 'End what else takes memory, or the kernel ends engines when it runs out.');
  return ok('memory', found);
}

export function judgeDisk({ use, path, freeMib, totalMib, kind }: DiskFacts): Check {
  const id = `disk_${use.replaceAll(' ', '_')}`;
  if (freeMib === null || totalMib === null)
    return warn(id, `${path}: free space cannot be told`, 'Look whether the file system there is mounted.');
  const found = `${path}: ${sizeText(freeMib)} of ${sizeText(totalMib)} free`;
  if (freeMib < FULL_MIB) return fail(id, found, `Free space there: ${use} cannot be written.`);
  const wanted = kind === 'weights' ? WEIGHTS_FREE_MIB : SMALL_FREE_MIB;
  if (freeMib >= wanted) return ok(id, found);
  return warn(
    id,
    found,
    kind === 'weights'
      ? 'Free space there, or point HF_HOME to a larger disk: one model of 7 billion parameters takes 15 GiB.'
      : `Free space there: ${use} may soon not be written.`,
  );
}

export function judgeOpenFiles({ openFiles, connectionsMax }: LimitFacts): Check {
  if (openFiles === null) return ok('open_files', 'no limit on open files');
  const needed = connectionsMax + OWN_FILES;
  const found = `up to ${openFiles} open files, ${needed} of them if every queue is full`;
  if (openFiles >= needed) return ok('open_files', found);
  const remedy = `Raise the limit (ulimit -n, or LimitNOFILE= of the service) to ${needed}, or lower queue_size and max_concurrent.`;
  return openFiles < OWN_FILES ? fail('open_files', found, remedy) : warn('open_files', found, remedy);
}

export function judgeProcesses({ processes, groupProcesses }: LimitFacts): Check {
  const limit = Math.min(processes ?? Number.POSITIVE_INFINITY, groupProcesses ?? Number.POSITIVE_INFINITY);
  if (limit === Number.POSITIVE_INFINITY) return ok('processes', 'no limit on processes');
  const found = `up to ${limit} processes and threads`;
  if (limit >= PROCESSES_LOW) return ok('processes', found);
  const how = limit === groupProcesses ? 'the pids limit of the container or service' : 'ulimit -u';
  return warn('processes', found, `Raise ${how} to ${PROCESSES_LOW} or more: each engine starts hundreds.`);
}

export function judgeInotify({ inotifyWatches }: LimitFacts): Check {
  if (inotifyWatches === null) return ok('inotify', 'no limit on watched files is told');
  const found = `up to ${inotifyWatches} watched files`;
  if (inotifyWatches >= WATCHES_LOW) return ok('inotify', found);
  return warn('inotify', found, `Raise fs.inotify.max_user_watches to ${WATCHES_LOW} or more (sysctl).`);
}

export function judgeState({ path, exists, isWritable, isOurs, ownerPid }: StateFacts): Check {
  const id = 'state_directory';
  if (!isOurs)
    return fail(
      id,
      `${path} belongs to another user`,
      'Choose another runtime.state_directory, or run as its owner.',
    );
  if (!isWritable)
    return fail(
      id,
      `${path} cannot be ${exists ? 'written' : 'made'}`,
      'Choose a runtime.state_directory that this user may write.',
    );
  if (ownerPid !== null)
    return warn(
      id,
      `${path} is owned by a gateway that runs (pid ${ownerPid})`,
      'A second gateway needs a runtime.state_directory of its own; if this is the one that you look at, all is well.',
    );
  return ok(id, exists ? `${path} is ours and free` : `${path} will be made`);
}

export function judgeClock({ nowMs, installedMs, isSynchronized }: ClockFacts): Check {
  const now = new Date(nowMs).toISOString();
  if (installedMs !== null && nowMs + CLOCK_SLACK_MS < installedMs)
    return fail(
      'clock',
      `${now}, before this program was installed (${new Date(installedMs).toISOString()})`,
      'Set the clock: downloads fail on certificates that are not valid yet.',
    );
  if (isSynchronized === false)
    return warn(
      'clock',
      `${now}, not synchronised`,
      'Turn time synchronisation on (timedatectl set-ntp true).',
    );
  return ok('clock', isSynchronized === true ? `${now}, synchronised` : now);
}
