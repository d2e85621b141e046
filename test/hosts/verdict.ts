/** What went wrong with memory during a run, from everything that is left of it: the gateway's log and the engines' outputs. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LogLine, RunningGateway } from '../fixtures/gateway.ts';

/** vLLM's and torch's words for memory that was not there. */
const OUT_OF_MEMORY =
  /out of memory|Free memory on device|Error in memory profiling|No available memory for the cache|KV cache is needed, which is larger/i;
/** Levels of the log at which something has failed. */
const ERROR_LEVEL = 50;
const SHOWN_CHARACTERS = 300;

export interface Verdict {
  /** Engines that ended without having been asked to. */
  readonly ended: readonly string[];
  /** Lines of engines that had not enough memory. */
  readonly outOfMemory: readonly string[];
  /** Estimates that had to be corrected after a failed start. */
  readonly mended: readonly string[];
  /** Launches that were not begun because their devices had less free than was reckoned with. */
  readonly roomMissing: readonly string[];
  /** Sleeps and wakes that failed. */
  readonly sleepFailed: readonly string[];
  /** Other errors in the gateway's log, and whatever it wrote to standard error. */
  readonly errors: readonly string[];
}

/** To be asked when the gateway has ended and before its folder is removed. */
export async function verdictOf(gateway: RunningGateway): Promise<Verdict> {
  const messages = (holds: (line: LogLine) => boolean): string[] =>
    gateway.log.filter(holds).map(({ msg }) => msg);
  const ended = messages(({ msg }) => /^engine of \S+ ended: /.test(msg));
  const sleepFailed = messages(({ msg }) => /could not be put to sleep|did not wake/.test(msg));
  const told = new Set([...ended, ...sleepFailed]);
  return {
    ended,
    sleepFailed,
    outOfMemory: await linesOfOutputs(join(gateway.directory, 'state', 'output')),
    mended: messages(({ msg }) => msg.includes('estimate was corrected')),
    roomMissing: messages(({ msg }) => msg.includes('was not launched, because its devices lack room')),
    errors: [...messages(({ level, msg }) => level >= ERROR_LEVEL && !told.has(msg)), ...gateway.errors],
  };
}

async function linesOfOutputs(directory: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir(directory)) {
    const text = await readFile(join(directory, name), 'utf8');
    const lines = text.split('\n').filter((line) => OUT_OF_MEMORY.test(line));
    found.push(...lines.map((line) => `${name}: ${line.slice(0, SHOWN_CHARACTERS)}`));
  }
  return found;
}
