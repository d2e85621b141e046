/**
 * Models that no device can ever hold, as far as the configuration alone tells: from its simulated devices and its memory
 * limits, which are upper bounds whatever the machine has. The scheduler refuses such a model's requests; its operator
 * shall not have to wait for the first one.
 */
import type { DevicesConfig, Notice, ResolvedModel } from './resolved-config.ts';

/** One notice for each model that asks for more memory than its devices can have. */
export function neverFitNotices(devices: DevicesConfig, models: readonly ResolvedModel[]): readonly Notice[] {
  return models.flatMap((model): Notice[] => {
    const { memoryMibPerDevice: needMib, deviceCount, pool } = model.need;
    if (needMib === null || deviceCount === 0) return [];
    const usable = usableMib(devices, pool);
    // With several devices the smallest of the largest ones decides.
    const bound = usable?.toSorted((a, b) => b - a)[usable.length === 1 ? 0 : deviceCount - 1];
    if (bound === undefined) return [];
    const budgetMib = Math.floor(devices.budgetFraction * bound);
    if (needMib <= budgetMib) return [];
    const where = pool === null ? '' : ` of pool ${pool}`;
    const each = deviceCount === 1 ? '' : ` on each of ${deviceCount} devices`;
    const device = deviceCount === 1 ? 'the largest device' : 'the smallest device that it would get';
    return [
      {
        level: 'error',
        text:
          `Model ${model.name} can never start: it reserves ${needMib} MiB${each}, and ${device}${where} has ` +
          `${budgetMib} MiB to give (budget_fraction ${devices.budgetFraction} x ${bound} MiB). Lower its memory_mib, or ` +
          `raise devices.budget_fraction or the memory of the device.`,
      },
    ];
  });
}

/** Upper bounds of the memory of each device that the pool may use; one for all of unknown number; null: nothing is known. */
function usableMib(devices: DevicesConfig, pool: string | null): readonly number[] | null {
  const { simulated, memoryLimitMib, pools, source } = devices;
  const limitOf = (id: string): number | null => memoryLimitMib.get(id) ?? memoryLimitMib.get('*') ?? null;
  const members = pool === null ? undefined : pools.get(pool);
  if (source === 'simulated') {
    const own = simulated.filter(({ id }) => members === undefined || members.includes(id));
    return own.map(({ id, memoryMib }) => Math.min(memoryMib, limitOf(id) ?? memoryMib));
  }
  if (members !== undefined) {
    const limits = members.map(limitOf);
    return limits.every((limit) => limit !== null) ? limits : null;
  }
  return memoryLimitMib.has('*') ? [Math.max(...memoryLimitMib.values())] : null;
}
