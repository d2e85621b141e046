/** The head of what `plan` prints: the configuration, the devices and the host. */
import type { Device } from '../devices/device.ts';
import type { PlanReport } from './plan-report.ts';
import { columns, memory, wrapped } from './text-layout.ts';

export function deviceLines({ config, planned, warnings }: PlanReport): readonly string[] {
  const { devices, host, conditions, source, complete } = planned;
  const from =
    config.file ?? (config.origin === 'demonstration' ? 'the built-in demonstration' : config.origin);
  const { budgetFraction } = config.devices;
  const mode = config.scheduling.placementMode;
  return [
    ...wrapped(
      '',
      `Plan of ${from} (${mode}), ${devices.length} ${devices.length === 1 ? 'device' : 'devices'} of ${source}:`,
    ),
    ...columns(alike(devices).map((group) => deviceRow(group, budgetFraction))),
    ...(host === null
      ? []
      : wrapped(
          '  ',
          `host memory ${memory(host.totalMib)}, ${memory(host.usedMib)} in use, ${memory(host.budgetMib)} for engines`,
        )),
    ...conditions.flatMap(({ text }) => wrapped('note: ', text)),
    ...(complete ? [] : ['The devices could not be read as a whole: what is said of them may be wrong.']),
    ...(devices.length === 0
      ? wrapped('', 'There are no devices: name some with --devices, such as 2x24GiB.')
      : []),
    ...warnings.flatMap((text) => wrapped('warn: ', text)),
  ];
}

/** Eight equal cards are one line. */
function alike(devices: readonly Device[]): readonly (readonly Device[])[] {
  const groups = new Map<string, Device[]>();
  for (const device of devices) {
    const { totalMib, budgetMib, pool, name, id } = device;
    const key = JSON.stringify([totalMib, budgetMib, pool, name === id ? null : name]);
    groups.set(key, [...(groups.get(key) ?? []), device]);
  }
  return [...groups.values()];
}

function deviceRow(group: readonly Device[], budgetFraction: number): readonly string[] {
  const [first] = group;
  const last = group.at(-1);
  if (first === undefined || last === undefined) return [];
  const ids = group.length > 2 ? `${first.id} .. ${last.id}` : group.map(({ id }) => id).join(', ');
  const name = first.name === first.id ? '' : first.name;
  const pool = first.pool === null ? '' : `pool ${first.pool}`;
  return [
    group.length === 1 ? ids : `${group.length} x ${ids}`,
    `${memory(first.totalMib)}${group.length === 1 ? '' : ' each'}`,
    `${memory(first.budgetMib)} to give (x ${budgetFraction})`,
    [pool, name].filter((text) => text !== '').join(', '),
  ];
}
