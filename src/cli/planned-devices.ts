/** The devices that `plan` reckons with: those of this machine, or such as are only named. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Environment } from '../config/environment.ts';
import type { DevicesConfig, ResolvedConfig } from '../config/resolved-config.ts';
import { hostBudgetMib } from '../control/host-budget.ts';
import { createSystemClock } from '../control/system-clock.ts';
import type { Device, DeviceCondition } from '../devices/device.ts';
import { applyConfig, createDeviceSource } from '../devices/device-source.ts';
import type { DeviceSpec } from './device-spec.ts';
import { utilityToolOpener } from './utility-tool.ts';

/** Marks what it leaves behind when it is killed, for no gateway. */
const PLAN_STATE_ID = 'plan';

export interface PlannedHost {
  readonly totalMib: number;
  /** In use at present by anybody, a running gateway's engines included; 0 of a host that is only named. */
  readonly usedMib: number;
  readonly budgetMib: number;
}

export interface PlannedDevices {
  readonly source: 'this machine' | '--devices';
  readonly devices: readonly Device[];
  readonly conditions: readonly DeviceCondition[];
  /** False: the reading failed, and nothing can be said of devices that are missing. */
  readonly complete: boolean;
  /** Null: not known. */
  readonly host: PlannedHost | null;
}

/** The tools that read devices have time limits of their own. Simulated devices keep a ledger; theirs is made apart. */
export async function machineDevices(
  { devices: config, runtime }: Pick<ResolvedConfig, 'devices' | 'runtime'>,
  environment: Environment,
): Promise<PlannedDevices> {
  const ledgerDirectory = await mkdtemp(join(tmpdir(), 'vllm-gateway-plan-'));
  const clock = createSystemClock();
  const openUtilityTool = utilityToolOpener({ runtime }, null, PLAN_STATE_ID, { ...environment });
  const source = createDeviceSource({
    ...{ config, environment, ledgerDirectory, clock, ownerOf: () => null },
    ...(openUtilityTool === undefined ? {} : { openUtilityTool }),
  });
  try {
    const { devices, conditions, complete } = await source.read();
    const host = await source.host();
    const limits = { limitMib: config.hostMemoryMib, floorMib: config.hostMemoryFloorMib };
    return {
      source: 'this machine',
      devices,
      conditions,
      complete,
      host:
        host === null
          ? null
          : {
              totalMib: host.totalMib,
              usedMib: host.usedMib,
              budgetMib: Math.floor(hostBudgetMib({ host, ...limits })),
            },
    };
  } finally {
    source.close();
    await rm(ledgerDirectory, { recursive: true, force: true });
  }
}

/** Budgets and pools as the configuration would have them on such a machine. */
export function namedDevices(config: DevicesConfig, spec: DeviceSpec): PlannedDevices {
  const { pools, conditions } = poolsFor(config, spec);
  const source = sourceOf(config);
  const inventory = applyConfig(
    { ...config, pools },
    {
      devices: spec.devices.map(({ id, totalMib }, index) => ({
        id,
        name: id,
        source,
        index,
        totalMib,
        unified: false,
      })),
      conditions: [],
      complete: true,
      uses: new Map(),
    },
  );
  return {
    source: '--devices',
    devices: inventory.devices,
    conditions: [...conditions, ...inventory.conditions],
    complete: true,
    host: hostOf(config, spec.hostMib),
  };
}

/** What kind of devices they stand for: engines sleep on some kinds and not on others. */
function sourceOf({ source, simulated }: DevicesConfig): Device['source'] {
  if (source === 'amd' || source === 'simulated') return source;
  return source === 'auto' && simulated.length > 0 ? 'simulated' : 'nvidia';
}

function hostOf(config: DevicesConfig, hostMib: number | null): PlannedHost | null {
  const { hostMemoryMib: limitMib, hostMemoryFloorMib: floorMib } = config;
  if (hostMib === null)
    return limitMib === null ? null : { totalMib: limitMib + floorMib, usedMib: 0, budgetMib: limitMib };
  const host = { totalMib: hostMib, usedMib: 0, launches: new Map<string, number>() };
  return { totalMib: hostMib, usedMib: 0, budgetMib: hostBudgetMib({ host, limitMib, floorMib }) };
}

/**
 * `pool=` decides where it stands; else ids that the configuration's pools name. Where neither names anything, the pools take
 * as many of the devices as they list, in order: their ids are those of another machine.
 */
function poolsFor(
  { pools }: DevicesConfig,
  { devices }: DeviceSpec,
): { readonly pools: DevicesConfig['pools']; readonly conditions: readonly DeviceCondition[] } {
  const named = new Map<string, string[]>();
  for (const { id, pool } of devices) if (pool !== null) named.set(pool, [...(named.get(pool) ?? []), id]);
  if (named.size > 0) return { pools: named, conditions: [] };
  const ids = devices.map(({ id }) => id);
  const isKnown = [...pools.values()].flat().some((id) => ids.includes(id));
  if (pools.size === 0 || isKnown) return { pools, conditions: [] };
  const filled = new Map<string, string[]>();
  const left = [...ids];
  for (const [pool, members] of pools) filled.set(pool, left.splice(0, members.length));
  const texts = [...filled].map(([pool, members]) => `${pool}: ${members.join(', ') || 'none'}`);
  return {
    pools: filled,
    conditions: [
      {
        code: 'pools_filled_in_order',
        text:
          'The pools of the configuration name devices of another machine, so they were filled in order ' +
          `(${texts.join('; ')}). Name them with \`pool=NAME:\` to have it otherwise.`,
      },
    ],
  };
}
