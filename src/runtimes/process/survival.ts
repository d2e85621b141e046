/**
 * Do engines live on when the gateway dies? As processes of their own session they do, except where the end of our container
 * takes them along: the kernel kills a PID namespace with its first process, and a container's runtime what is left of it.
 */
import { existsSync, readFileSync, readlinkSync } from 'node:fs';

export interface SurvivalFacts {
  /** /proc tells start times; without them an engine of an earlier gateway cannot be told from a stranger with its pid. */
  readonly hasProcessTable: boolean;
  /** What shows that we run in a container: a file that its runtime makes, or our control group. Null: nothing does. */
  readonly containerSign: string | null;
  /** Our PID namespace is not the first one of the kernel; null: it cannot be told. */
  readonly hasOwnPidNamespace: boolean | null;
  /** Names of the programs between us (not included) and process 1 (included); empty where process 1 is not above us, or is us. */
  readonly ancestors: readonly string[];
  /** We are process 1 of our namespace. */
  readonly isInit: boolean;
}

export interface Survival {
  readonly survivesUs: boolean;
  /** Why it is false, with the remedy, as a sentence; empty where it is true. */
  readonly because: string;
}

/** Programs that start the gateway again instead of ending with it, so that their container goes on. */
const SUPERVISORS =
  /^(systemd|init|s6-svscan|s6-supervise|runsvdir|runsv|runit|supervisord|openrc-init|pm2|monit)\b/;

/** The number of the first PID namespace in every Linux (PROC_PID_INIT_INO of include/linux/proc_ns.h). */
const FIRST_PID_NAMESPACE = 'pid:[4026531836]';

const CONTAINER_FILES: readonly string[] = ['/.dockerenv', '/run/.containerenv'];
const CONTAINER_GROUP = /\b(docker|kubepods|libpod|containerd|lxc)\b/;

/** Longer chains of parents are a loop of our own making. */
const ANCESTORS_MAX = 64;

/** Pure. */
export function judgeSurvival(facts: SurvivalFacts): Survival {
  if (!facts.hasProcessTable) {
    const because =
      'this system has no /proc, so a new gateway cannot tell engines of an earlier one from strangers';
    return { survivesUs: false, because };
  }
  const endsWithUs =
    facts.isInit || (facts.ancestors.length > 0 && !facts.ancestors.some((name) => SUPERVISORS.test(name)));
  const isConfined = facts.containerSign !== null && facts.hasOwnPidNamespace !== false;
  if (!isConfined || !endsWithUs) return { survivesUs: true, because: '' };
  return {
    survivesUs: false,
    because: `the gateway runs in a container (${facts.containerSign}) that ends with it, and takes its engines along: run engines in containers of their own (\`runtime.kind: docker\`), or the gateway outside of one`,
  };
}

/** Facts of this process; reads some small files. Never throws. */
export function gatherSurvival(hasProcessTable: boolean, root = '/proc'): SurvivalFacts {
  const isInit = process.pid === 1;
  return {
    hasProcessTable,
    containerSign: containerSign(root),
    hasOwnPidNamespace: ownPidNamespace(root),
    ancestors: isInit ? [] : ancestorsOf(root, process.ppid),
    isInit,
  };
}

function containerSign(root: string): string | null {
  const file = CONTAINER_FILES.find((path) => existsSync(path));
  if (file !== undefined) return file;
  const group = CONTAINER_GROUP.exec(text(`${root}/self/cgroup`))?.[1];
  return group === undefined ? null : `control group of ${group}`;
}

function ownPidNamespace(root: string): boolean | null {
  try {
    return readlinkSync(`${root}/self/ns/pid`) !== FIRST_PID_NAMESPACE;
  } catch {
    return null;
  }
}

/** Up to process 1; none where the chain leaves the namespace before, as for a program that was put into a running container. */
function ancestorsOf(root: string, parentPid: number): readonly string[] {
  const names: string[] = [];
  for (let pid = parentPid; pid > 0 && names.length < ANCESTORS_MAX; ) {
    const stat = text(`${root}/${pid}/stat`);
    const end = stat.lastIndexOf(')');
    if (end < 0) return [];
    names.push(stat.slice(stat.indexOf('(') + 1, end));
    if (pid === 1) return names;
    pid = Number(stat.slice(end + 2).split(' ')[1]);
  }
  return [];
}

function text(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
