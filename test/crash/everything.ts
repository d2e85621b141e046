/** Ending all that a storm has started, from within it and from beside it. */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import type { EngineSource } from './engine-census.ts';
import { killNow } from './process-census.ts';

/** Rounds, because a gateway that is being killed may start one engine more. */
const ROUNDS_MAX = 20;

/** Gateways on a state directory below `directory`, then their engines, then the directory. */
export async function endEverything(source: EngineSource, directory: string): Promise<void> {
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    for (const pid of gatewaysBelow(directory)) killNow(pid);
    await source.endAll();
    if (gatewaysBelow(directory).length === 0 && (await source.look()).engines.length === 0) break;
  }
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
}

function gatewaysBelow(directory: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(Number)
    .filter((pid) => {
      const words = commandOf(pid);
      return words.includes('serve') && words.some((word) => word.startsWith(`${directory}/`));
    });
}

function commandOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}
