/** How a container ended, from what Docker keeps of it. Pure. */
import { constants } from 'node:os';
import type { ContainerInspectInfo } from 'dockerode';
import type { ExitStatus } from '../../engines/engine.ts';

/** A shell, Docker and its init tell a signal as this plus its number. */
const SIGNAL_BASE = 128;

export type ContainerState = Pick<
  ContainerInspectInfo['State'],
  'Running' | 'Status' | 'OOMKilled' | 'ExitCode' | 'Error'
>;

/** `isAfterOutage`: it ended while the daemon did not answer us, which is then what ended it. */
export function exitOf(state: ContainerState, isAfterOutage: boolean): ExitStatus {
  const told = toldExit(state);
  if (!isAfterOutage || told.hostMemory === true) return told;
  const how = told.signal ?? `exit code ${told.code}`;
  return {
    code: null,
    signal: null,
    unknownBecause: `Docker was not there for a while and its engine ended meanwhile (${how})`,
  };
}

function toldExit({ ExitCode: code, OOMKilled, Error: text }: ContainerState): ExitStatus {
  const signal = code > SIGNAL_BASE ? signalOf(code - SIGNAL_BASE) : null;
  const memory = OOMKilled ? ({ hostMemory: true } as const) : {};
  if (signal !== null) return { code: null, signal, ...memory };
  if (text !== '' && !OOMKilled) {
    return { code: null, signal: null, unknownBecause: `Docker says: ${text}` };
  }
  return { code, signal: null, ...memory };
}

function signalOf(number: number): string | null {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? null;
}

export const REMOVED_EXIT: ExitStatus = {
  code: null,
  signal: null,
  unknownBecause: 'its container was removed by somebody else',
};
