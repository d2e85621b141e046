/** Groups that may open AMD's devices, by number, because the image may know other names. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Where we cannot see the devices (a gateway in a container), the name that images made for ROCm have. */
const USUAL_GROUPS: readonly string[] = ['video'];

export async function amdDeviceGroups(root = '/dev'): Promise<readonly string[]> {
  const nodes = await readdir(join(root, 'dri')).catch(() => []);
  const paths = [join(root, 'kfd'), ...nodes.map((name) => join(root, 'dri', name))];
  const groups = new Set<string>();
  for (const path of paths) {
    const found = await stat(path).catch(() => null);
    if (found?.isCharacterDevice() === true && found.gid !== 0) groups.add(String(found.gid));
  }
  return groups.size === 0 ? USUAL_GROUPS : [...groups];
}
