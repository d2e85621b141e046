/** Where raw values come from: every source tells the origin of each of its values, for the faults. */
import type { ConfigPath, FaultOrigin } from './fault.ts';

export interface RawSource {
  /** Plain JSON-like data; not yet checked. */
  readonly value: unknown;
  /** Origin of the value at `path`, of its key, or of the nearest thing above that exists. */
  originOf(path: ConfigPath, what: 'key' | 'value'): FaultOrigin;
}

/** A source whose values all have one origin. */
export function uniformSource(value: unknown, origin: FaultOrigin): RawSource {
  return { value, originOf: () => origin };
}

/** The value at `path`, or undefined. */
export function valueAt(value: unknown, path: ConfigPath): unknown {
  let current = value;
  for (const part of path) {
    if (current === null || typeof current !== 'object' || !Object.hasOwn(current, part)) return undefined;
    current = Reflect.get(current, part);
  }
  return current;
}
