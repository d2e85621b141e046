/**
 * What starts and stops have cost on this machine, kept across restarts of the gateway: without it the first estimates
 * and turns after each restart would rest on guesses. A cost counts only for the launch that it was measured with.
 *  K1. A missing or unreadable file means that nothing is known; it never keeps the gateway from starting.
 */
import { readFile } from 'node:fs/promises';
import { writeDurably } from './durable-file.ts';

export interface StoredCost {
  /** Of the launch that was measured (model, flags, devices). */
  readonly signature: string;
  /** Milliseconds; null: not measured yet. */
  readonly startMs: number | null;
  readonly stopMs: number | null;
}

export type StoredCosts = Readonly<Record<string, StoredCost>>;

/** By model name. */
export async function readLearnedCosts(file: string): Promise<StoredCosts> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readFile(file, 'utf8'));
  } catch {
    return {};
  }
  if (parsed === null || typeof parsed !== 'object') return {};
  const costs: Record<string, StoredCost> = {};
  for (const [model, value] of Object.entries(parsed)) {
    if (isStoredCost(value)) costs[model] = value;
  }
  return costs;
}

/** Rejects when the disk does; the caller goes on without. */
export async function writeLearnedCosts(file: string, costs: StoredCosts): Promise<void> {
  await writeDurably(file, `${JSON.stringify(costs, null, 1)}\n`);
}

function isStoredCost(value: unknown): value is StoredCost {
  if (value === null || typeof value !== 'object') return false;
  const { signature, startMs, stopMs } = value as Record<string, unknown>;
  return typeof signature === 'string' && isCost(startMs) && isCost(stopMs);
}

function isCost(value: unknown): boolean {
  return value === null || (typeof value === 'number' && Number.isFinite(value) && value >= 0);
}
