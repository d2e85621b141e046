/** What the processes of an engine hold of the host's memory. */
import type { ModelState } from './state.ts';

/** As far as it is known. */
export function hostMibOf({ engine, need }: ModelState): number {
  switch (engine.kind) {
    case 'asleep':
    case 'stopping':
      return engine.hostMib;
    case 'waking':
      return engine.asleep.hostMib;
    case 'falling_asleep':
      return need?.hostAsleepMib ?? 0;
    case 'starting':
    case 'awake':
    case 'draining':
      return need?.hostAwakeMib ?? 0;
    case 'cold':
    case 'fetching':
    case 'failed':
    case 'external':
      return 0;
  }
}
