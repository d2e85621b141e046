/** A disk of its own for tests of full ones. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/** Programs of the system. */
const [MOUNT, UNMOUNT] = ['mount', 'umount'] as const;

/** Its directory, or null where we may not mount. */
export function smallDisk(t: TestContext, kib: number): string | null {
  const directory = mkdtempSync(join(tmpdir(), 'disk-'));
  const options = `size=${kib}k,mode=700`;
  let isMounted = false;
  t.after(() => {
    // At once, although files of it may be open until the end of the test.
    if (isMounted) execFileSync(UNMOUNT, ['-l', directory]);
    rmSync(directory, { recursive: true, force: true });
  });
  try {
    execFileSync(MOUNT, ['-t', 'tmpfs', '-o', options, 'none', directory], { stdio: 'ignore' });
  } catch {
    return null;
  }
  isMounted = true;
  return directory;
}

/** Takes all the room there is. */
export function fill(directory: string): void {
  for (let bytes = 64 * 1024; bytes >= 1; bytes = Math.floor(bytes / 4)) {
    for (let count = 0; count < 10_000; count += 1) {
      try {
        writeFileSync(join(directory, 'ballast'), Buffer.alloc(bytes), { flag: 'a' });
      } catch {
        break;
      }
    }
  }
}
