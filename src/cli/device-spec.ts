/**
 * Devices that are not there, as `plan --devices` names them:
 *     SPEC  = part { "," part }
 *     part  = [ "pool=" NAME ":" ] group | "host=" SIZE
 *     group = COUNT "x" SIZE | ID ":" SIZE | SIZE
 *     SIZE  = MiB as a number, or "512MiB", "24GiB", "1.5TiB"
 * Devices without an id are called gpu-0, gpu-1, … by their place among all of the list. `host` is the memory of the host.
 */
import { type ConfigFault, fault } from '../config/fault.ts';
import { size } from '../config/leaf.ts';
import { failure, type Result, success } from '../core/result.ts';

export interface SpecifiedDevice {
  readonly id: string;
  readonly totalMib: number;
  /** Null: not said. */
  readonly pool: string | null;
}

export interface DeviceSpec {
  readonly devices: readonly SpecifiedDevice[];
  /** Null: not said. */
  readonly hostMib: number | null;
}

/** A host has up to 16 GPUs, and each may be seven. */
const DEVICES_MAX = 128;

/** No engine fits into less; whoever names less has left out the unit. */
const LEAST_MIB = 256;

const GROUP_TEXT =
  '`2x24GiB`, `gpu-a:24GiB` or `24GiB`, a pool in front as in `pool=big:2x24GiB`, or `host=256GiB`';
const SIZE_TEXT = 'MiB as a number, or text such as 512MiB, 24GiB';
const MEMORY = size();
const GROUP = /^(?:(\d+)x|([^:]+):)?(.*)$/;

export function parseDeviceSpec(text: string): Result<DeviceSpec, ConfigFault> {
  const devices: SpecifiedDevice[] = [];
  let hostMib: number | null = null;
  let at = 1;
  for (const part of text.split(',')) {
    const wrong = (problem: string, allowed: string) => failure(faultAt(at, part, problem, allowed));
    const words = part.trim();
    const host = /^host=(.*)$/.exec(words);
    if (host !== null) {
      const mib = memoryOf(host[1] ?? '');
      if (mib === null) return wrong('no amount of memory', SIZE_TEXT);
      if (mib < LEAST_MIB) return wrong(...tooSmall(mib));
      if (hostMib !== null) return wrong('the host stands here twice', 'one `host=`');
      hostMib = mib;
    } else {
      const [, pool = null, group = words] = /^pool=([^:]*):(.*)$/.exec(words) ?? [];
      if (pool === '' || words.startsWith('pool=') !== (pool !== null))
        return wrong('no name of a pool', GROUP_TEXT);
      const found = groupOf(group, devices.length);
      if (typeof found === 'string') return wrong(found, GROUP_TEXT);
      const small = found.find(({ totalMib }) => totalMib < LEAST_MIB);
      if (small !== undefined) return wrong(...tooSmall(small.totalMib));
      const twice = found.find(({ id }) => devices.some((device) => device.id === id));
      if (twice !== undefined) return wrong(`the device ${twice.id} stands here twice`, 'an id of its own');
      devices.push(...found.map((device) => ({ ...device, pool })));
      if (devices.length > DEVICES_MAX) return wrong('too many devices', `at most ${DEVICES_MAX}`);
    }
    at += part.length + 1;
  }
  if (devices.length === 0) return failure(faultAt(1, text, 'no device', GROUP_TEXT));
  return success({ devices, hostMib });
}

function tooSmall(mib: number): [problem: string, allowed: string] {
  return [`${mib} MiB? Was ${mib}GiB meant? A number alone is MiB`, `at least ${LEAST_MIB}MiB`];
}

function faultAt(at: number, part: string, problem: string, allowed: string): ConfigFault {
  const origin = { kind: 'flag', flag: '--devices' } as const;
  return fault('invalid_value', origin, [], `character ${at}: ${problem}`, {
    found: JSON.stringify(part),
    allowed,
  });
}

/** A text says what is wrong. */
function groupOf(text: string, first: number): readonly { id: string; totalMib: number }[] | string {
  const [, count, id, memory = ''] = GROUP.exec(text) ?? [];
  const totalMib = memoryOf(memory);
  if (totalMib === null) return 'neither a number of devices nor an id with an amount of memory';
  if (id !== undefined) return [{ id, totalMib }];
  const devices = Number(count ?? 1);
  if (devices < 1) return 'no device';
  if (devices > DEVICES_MAX) return 'too many devices';
  return Array.from({ length: devices }, (_, index) => ({ id: `gpu-${first + index}`, totalMib }));
}

function memoryOf(text: string): number | null {
  const told = text.trim();
  const parsed = MEMORY.safeParse(/^\d+(\.\d+)?$/.test(told) ? Number(told) : told);
  return parsed.success ? parsed.data : null;
}
