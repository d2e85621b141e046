/** Plays scripts until so many requests were sent, a number of them at once, and watches what is left behind. */
import { play } from './client.ts';
import { judge } from './judge.ts';
import { Ledger } from './ledger.ts';
import { type Script, scriptOf } from './script.ts';
import { startWorld, usedBytes, type World } from './world.ts';

/** Clients at the same time. */
const CLIENTS = 24;
/** After so many scripts all of them stop, and everything must be back to zero. */
const REST_SCRIPTS = 1_000;
/** Memory is compared from here on: before, code is compiled and buffers are made that stay. */
const WARM_SHARE = 0.3;
/** What may be in use more at the end than after the warming up. */
const GROWTH_BYTES_MAX = 24 * 1024 * 1024;
const VIOLATIONS_MAX = 20;

export interface FuzzOptions {
  readonly seed: number;
  readonly requests: number;
  /** Plays this one only. */
  readonly only?: number | undefined;
}

export interface FuzzOutcome {
  readonly violations: readonly { readonly script: number | null; readonly text: string }[];
  readonly scripts: number;
  readonly requests: number;
  /** By how a strict server reads the bytes. */
  readonly tails: Readonly<Record<string, number>>;
  readonly reachedEngine: number;
  readonly answered: number;
  readonly grownBytes: number;
}

export async function fuzz({ seed, requests: wanted, only }: FuzzOptions): Promise<FuzzOutcome> {
  const ledger = new Ledger();
  const world = await startWorld(ledger);
  const violations: { script: number | null; text: string }[] = [];
  const tails: Record<string, number> = {};
  let next = only ?? 0;
  let requests = 0;
  let warmBytes: number | null = null;
  const isOver = (): boolean =>
    violations.length >= VIOLATIONS_MAX || (only === undefined ? requests >= wanted : next > only);

  const noteLedger = (script: Script | null): void => {
    for (const text of ledger.violations.splice(0)) {
      // A mark begins with the number of its script.
      const told = / (\d+)\.\d+ /.exec(text)?.[1];
      violations.push({ script: told === undefined ? (script?.index ?? null) : Number(told), text });
    }
  };
  const playOne = async (): Promise<void> => {
    const script = scriptOf(seed, next++);
    requests += script.requestCount;
    tails[script.reading.tail] = (tails[script.reading.tail] ?? 0) + 1;
    ledger.open(script);
    const played = await play(script, world.port);
    for (const text of judge(script, played)) violations.push({ script: script.index, text });
    noteLedger(script);
    finished.push(script);
  };
  let finished: Script[] = [];
  while (!isOver()) {
    const until = next + REST_SCRIPTS;
    const client = async (): Promise<void> => {
      while (!isOver() && next < until) await playOne();
    };
    await Promise.all(Array.from({ length: only === undefined ? CLIENTS : 1 }, client));
    await rest(world, violations);
    noteLedger(null);
    for (const script of finished) ledger.close(script);
    finished = [];
    if (warmBytes === null && requests >= wanted * WARM_SHARE) warmBytes = usedBytes();
  }
  const grownBytes = warmBytes === null ? 0 : usedBytes() - warmBytes;
  if (grownBytes > GROWTH_BYTES_MAX)
    violations.push({ script: null, text: `memory grew by ${grownBytes} bytes` });
  const outcome = {
    violations,
    scripts: only === undefined ? next : 1,
    requests,
    tails,
    reachedEngine: world.engine.received,
    answered: world.ended(),
    grownBytes,
  };
  await world.close();
  return outcome;
}

async function rest(world: World, violations: { script: number | null; text: string }[]): Promise<void> {
  const left = await world.atRest();
  if (left !== null) violations.push({ script: null, text: `after all clients had gone: ${left}` });
}
