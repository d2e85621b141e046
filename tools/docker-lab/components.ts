/** The programs that the lab needs, installed from the system's own packages where they are missing and we may. */
import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const INSTALL_LIMIT_MS = 5 * 60_000;

const PACKAGES: readonly { readonly program: string; readonly name: string }[] = [
  { program: 'dockerd', name: 'docker.io' },
  { program: 'containerd', name: 'containerd' },
  { program: 'runc', name: 'runc' },
  { program: 'iptables', name: 'iptables' },
  { program: 'docker-init', name: 'tini' },
  { program: 'busybox', name: 'busybox-static' },
  { program: 'ip', name: 'iproute2' },
  { program: 'nsenter', name: 'util-linux' },
  { program: 'unshare', name: 'util-linux' },
  { program: 'ldd', name: 'libc-bin' },
  { program: 'tar', name: 'tar' },
];

/** Null when all is there; else why the lab cannot be had, for a printed skip. */
export async function ensureComponents(print: (text: string) => void): Promise<string | null> {
  if (process.platform !== 'linux') return 'Docker needs Linux';
  if (process.getuid?.() !== 0) return 'a Docker daemon of our own needs root';
  const missing = PACKAGES.filter(({ program }) => !isThere(program));
  if (missing.length === 0) return null;
  const names = missing.map(({ name }) => name);
  print(`docker-lab: installing ${names.join(', ')}`);
  try {
    await run('apt-get', ['update'], { timeout: INSTALL_LIMIT_MS });
    await run('apt-get', ['install', '-y', '--no-install-recommends', ...names], {
      timeout: INSTALL_LIMIT_MS,
      // The package would start a daemon for the whole machine.
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
    });
  } catch (error) {
    return `${names.join(', ')} cannot be installed: ${error instanceof Error ? error.message.split('\n')[0] : error}`;
  }
  const still = PACKAGES.find(({ program }) => !isThere(program));
  return still === undefined ? null : `${still.program} is missing, though ${still.name} is installed`;
}

function isThere(program: string): boolean {
  return pathOf(program) !== null;
}

/** Throws where `ensureComponents` would have said that it is missing. */
export function programPath(program: string): string {
  const found = pathOf(program);
  if (found === null) throw new Error(`${program} is missing`);
  return found;
}

/** System programs stand where a user's PATH may not look. */
function pathOf(program: string): string | null {
  const directories = [...(process.env.PATH ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  for (const directory of directories) {
    const candidate = path.join(directory, program);
    try {
      accessSync(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Not here.
    }
  }
  return null;
}
