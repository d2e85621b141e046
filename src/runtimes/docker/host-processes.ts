/**
 * Containers' processes as this host's /proc shows them. Where we have a process table of our own (a container), their
 * numbers mean nothing here; nothing is then found, because a cgroup's path must name the container.
 */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const CONTAINER_ID = /[0-9a-f]{64}/g;
const CGROUP_ROOT = '/sys/fs/cgroup';

/** The container that a process is in, among `known`; null for a stranger. */
export function containerOf(pid: number, known: ReadonlySet<string>): string | null {
  if (known.size === 0) return null;
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/cgroup`, 'latin1');
  } catch {
    return null;
  }
  for (const id of text.match(CONTAINER_ID) ?? []) if (known.has(id)) return id;
  return null;
}

/** Processes of a container whose first process Docker knows as `pid`. Empty where they cannot be seen. */
export async function processesOf(containerId: string, pid: number): Promise<readonly number[]> {
  if (pid <= 0) return [];
  const text = await readFile(`/proc/${pid}/cgroup`, 'latin1').catch(() => '');
  for (const path of cgroupPaths(text, containerId)) {
    const pids = await readFile(join(path, 'cgroup.procs'), 'latin1').catch(() => '');
    const found = pids
      .split('\n')
      .map(Number)
      .filter((found) => found > 0);
    if (found.length > 0) return found;
  }
  return [];
}

/** Pure. `0::/path` (one hierarchy) and `4:memory:/path` (several). */
export function cgroupPaths(text: string, containerId: string): readonly string[] {
  const paths: string[] = [];
  for (const line of text.split('\n')) {
    const [, controllers = '', ...rest] = line.split(':');
    const path = rest.join(':');
    if (!path.includes(containerId) || path.includes('..')) continue;
    const names = controllers.replace(/^name=/, '');
    paths.push(join(CGROUP_ROOT, names, path));
  }
  return paths;
}
