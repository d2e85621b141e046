/** The policies that `simulate` runs, by name or from a file. */
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { nearestOf } from '../config/nearest.ts';
import type { Scheduler } from '../scheduler/scheduler.ts';
import { createScheduler } from '../scheduler/scheduler.ts';
import type { SwapPolicy } from '../scheduler/swap-policy.ts';
import { InputFault } from '../simulator/input-fault.ts';
import { policyNamed, policyNames } from '../simulator/policies/named-policies.ts';

const FLAG = '--policy';
const FILE = /\.[cm]?[jt]s$/;

export interface NamedPolicy {
  /** As it was asked for. */
  readonly name: string;
  readonly policy: SwapPolicy;
}

/** Each text is a list of names and files, separated by commas. @throws InputFault */
export async function simulatedPolicies(texts: readonly string[]): Promise<readonly NamedPolicy[]> {
  const names = texts.flatMap((text) => text.split(',')).map((name) => name.trim());
  const wanted = names.filter((name) => name !== '');
  return Promise.all(
    wanted.map(async (name) => ({
      name,
      policy: FILE.test(name) ? await importedPolicy(name) : knownPolicy(name),
    })),
  );
}

/** `switchShare` overrides the configured share of device time that moves between busy models may take; null: it stays. */
export function schedulerOf(policy: SwapPolicy, switchShare: number | null): Scheduler {
  const scheduler = createScheduler(policy);
  if (switchShare === null) return scheduler;
  return {
    begin: (setup, nowMs) =>
      scheduler.begin({ ...setup, scheduling: { ...setup.scheduling, switchShare } }, nowMs),
    decide: scheduler.decide,
  };
}

function knownPolicy(name: string): SwapPolicy {
  const policy = policyNamed(name);
  if (policy !== null) return policy;
  const near = nearestOf(name, policyNames);
  const remedy =
    near === null ? `Known are ${policyNames.join(', ')}, and files of your own` : `Did you mean ${near}`;
  throw new InputFault({ source: FLAG, place: name, problem: 'is no policy', remedy });
}

async function importedPolicy(file: string): Promise<SwapPolicy> {
  const fault = (problem: string) =>
    new InputFault({ source: FLAG, place: file, problem, remedy: 'docs/policies.md shows a whole one' });
  let module: Readonly<Record<string, unknown>>;
  try {
    module = await import(pathToFileURL(path.resolve(file)).href);
  } catch (error) {
    throw fault(`cannot be imported: ${error instanceof Error ? error.message : String(error)}`);
  }
  const policy = module['policy'] ?? module['default'];
  if (!isPolicy(policy)) throw fault('exports no `policy` with `name` and `rebalance`');
  return policy;
}

function isPolicy(value: unknown): value is SwapPolicy {
  if (typeof value !== 'object' || value === null) return false;
  const { name, rebalance } = value as Partial<Record<keyof SwapPolicy, unknown>>;
  return typeof name === 'string' && typeof rebalance === 'function';
}
