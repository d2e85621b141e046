/**
 * Tells whose a device's memory is: ours by launch, or foreign. Pure.
 *
 *  A1. Per-process figures count only when each settled launch of ours that holds memory is seen in them: a driver that lists host pids to a
 *      container, or nothing at all, must not turn our own memory into foreign memory.
 *  A2. While a launch moves, device and process figures are of different moments. What no process accounts for (the
 *      driver's share, graphics) is then taken from the last quiet reading, so that a move of ours is not seen as foreign.
 *  A3. While a launch moves and no process of ours is seen, a process that came since the last quiet reading may be ours under a number that
 *      we do not know (a gateway in a container): it counts when the move is over and A1 has judged.
 */
import type { LaunchId } from '../core/ids.ts';
import type { LaunchUse, UseSource } from './device.ts';
import type { LaunchOnDevice } from './launch-book.ts';
import type { ProcessUse } from './raw-device.ts';

/** What the last reading without a move said of a device. */
export interface Quiet {
  readonly foreignMib: number;
  readonly foreignSource: UseSource;
  /** Used by no listed process; null where processes are not told. */
  readonly unattributedMib: number | null;
  /** Processes that were listed and are not ours. */
  readonly foreignPids: ReadonlySet<number>;
}

export interface AttributionInput {
  readonly usedMib: number | null;
  readonly processes: readonly ProcessUse[] | null;
  readonly ownerOf: (pid: number) => LaunchId | null;
  readonly launches: readonly LaunchOnDevice[];
  readonly quiet: Quiet | null;
}

export interface Attribution {
  readonly foreignMib: number | null;
  readonly foreignSource: UseSource | null;
  readonly launches: ReadonlyMap<LaunchId, LaunchUse>;
  readonly quiet: Quiet | null;
  /** Processes are listed, and a launch of ours that holds memory is not among them (A1). */
  readonly unmapped: boolean;
}

interface Rows {
  readonly own: ReadonlyMap<LaunchId, number>;
  readonly ownMib: number;
  readonly foreignMib: number;
  readonly foreign: ReadonlyMap<number, number>;
}

export function attribute(input: AttributionInput): Attribution {
  const { usedMib, launches } = input;
  const rows = rowsOf(input);
  const unmapped =
    rows !== null &&
    launches.some(
      ({ launchId, moving, differenceMib }) => !moving && differenceMib !== 0 && !rows.own.has(launchId),
    );
  const trusted = unmapped ? null : rows;
  const uses = launchUses(trusted, launches);
  const moving = launches.some((launch) => launch.moving);
  if (usedMib === null) {
    return { foreignMib: null, foreignSource: null, launches: uses, quiet: input.quiet, unmapped };
  }
  const quiet = moving ? input.quiet : quietOf(usedMib, trusted, launches);
  const foreign = moving ? foreignInMove(usedMib, trusted, quiet) : quiet;
  return {
    foreignMib: foreign?.foreignMib ?? null,
    foreignSource: foreign?.foreignSource ?? null,
    launches: uses,
    quiet,
    unmapped,
  };
}

/** Null where processes, or the memory of one of them, are not told. */
function rowsOf({ processes, ownerOf }: AttributionInput): Rows | null {
  if (processes === null) return null;
  const own = new Map<LaunchId, number>();
  const foreign = new Map<number, number>();
  let ownMib = 0;
  let foreignMib = 0;
  for (const { pid, usedMib } of processes) {
    if (usedMib === null) return null;
    const owner = ownerOf(pid);
    if (owner === null) {
      foreignMib += usedMib;
      foreign.set(pid, (foreign.get(pid) ?? 0) + usedMib);
    } else {
      ownMib += usedMib;
      own.set(owner, (own.get(owner) ?? 0) + usedMib);
    }
  }
  return { own, ownMib, foreignMib, foreign };
}

function launchUses(
  rows: Rows | null,
  launches: readonly LaunchOnDevice[],
): ReadonlyMap<LaunchId, LaunchUse> {
  const uses = new Map<LaunchId, LaunchUse>();
  for (const { launchId, moving, differenceMib } of launches) {
    if (moving || differenceMib === null) continue;
    uses.set(launchId, { usedMib: differenceMib, source: 'device_difference' });
  }
  for (const [launchId, usedMib] of rows?.own ?? []) uses.set(launchId, { usedMib, source: 'per_process' });
  return uses;
}

function quietOf(usedMib: number, rows: Rows | null, launches: readonly LaunchOnDevice[]): Quiet | null {
  if (rows !== null) {
    return {
      foreignMib: Math.max(0, usedMib - rows.ownMib),
      foreignSource: 'per_process',
      unattributedMib: Math.max(0, usedMib - rows.ownMib - rows.foreignMib),
      foreignPids: new Set(rows.foreign.keys()),
    };
  }
  let ownMib = 0;
  for (const { differenceMib } of launches) {
    if (differenceMib === null) return null;
    ownMib += differenceMib;
  }
  const foreignMib = Math.max(0, usedMib - ownMib);
  return { foreignMib, foreignSource: 'device_difference', unattributedMib: null, foreignPids: new Set() };
}

/** A2, A3. */
function foreignInMove(
  usedMib: number,
  rows: Rows | null,
  quiet: Quiet | null,
): { readonly foreignMib: number; readonly foreignSource: UseSource } | null {
  if (quiet === null) return null;
  if (rows !== null && quiet.unattributedMib !== null) {
    let listedMib = 0;
    for (const [pid, mib] of rows.foreign) {
      if (rows.own.size > 0 || quiet.foreignPids.has(pid)) listedMib += mib;
    }
    const foreignMib = Math.min(usedMib, listedMib + quiet.unattributedMib);
    return { foreignMib, foreignSource: 'per_process' };
  }
  return { foreignMib: Math.min(usedMib, quiet.foreignMib), foreignSource: quiet.foreignSource };
}
