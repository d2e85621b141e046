/** Does this process pass over the permissions of files? Root does, and so does a user who was left this one capability. */
import { readFileSync } from 'node:fs';

const CAP_DAC_OVERRIDE = 1n;

/** True with CAP_DAC_OVERRIDE in effect. `access` of node:fs asks as if there were no capabilities. */
export function overridesFilePermissions(): boolean {
  let status: string;
  try {
    status = readFileSync('/proc/self/status', 'utf8');
  } catch {
    return process.getuid?.() === 0;
  }
  const effective = /^CapEff:\s+([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> CAP_DAC_OVERRIDE) & 1n) === 1n;
}
