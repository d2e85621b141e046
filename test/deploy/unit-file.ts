/** Reads a unit file of systemd as far as the tests of deploy/systemd ask. */
import { readFileSync } from 'node:fs';

export interface UnitFile {
  /** All values of a key of [Service], in order. */
  all(key: string): readonly string[];
  /** The one value of a key of [Service]; throws where there is none or more. */
  one(key: string): string;
}

export function readUnitFile(file: string): UnitFile {
  const entries: (readonly [string, string])[] = [];
  let section = '';
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [, name] = /^\[(\w+)\]$/.exec(line) ?? [];
    if (name !== undefined) section = name;
    const [, key, value] = /^([A-Za-z]+)=(.*)$/.exec(line) ?? [];
    if (section === 'Service' && key !== undefined && value !== undefined) entries.push([key, value]);
  }
  const all = (key: string) => entries.filter(([name]) => name === key).map(([, value]) => value);
  return {
    all,
    one(key) {
      const [value, ...more] = all(key);
      if (value === undefined || more.length > 0) throw new Error(`${file} has not one ${key}=`);
      return value;
    },
  };
}
