/** Why a model has no place, in words and numbers. */
import type { DeviceView, PlacementNeed } from './place.ts';

/** `possible`: the devices that may be asked at all, whatever their size. */
export function neverReason(need: PlacementNeed, possible: readonly DeviceView[]): string {
  const wanted = need.memoryMibPerDevice === null ? 'the whole budget' : `${need.memoryMibPerDevice} MiB`;
  if (need.onlyOn !== null) {
    const offers = need.onlyOn.map((id) => {
      const device = possible.find((other) => other.id === id);
      return device === undefined ? `${id} is not there` : `${id} offers ${device.budgetMib} MiB`;
    });
    return `${sleepsOn(need.onlyOn)}; it needs ${wanted} on each of them, but ${offers.join(', ')}`;
  }
  const devices = need.deviceCount === 1 ? '1 device' : `${need.deviceCount} devices`;
  if (possible.length === 0) {
    const where = need.pool === null ? 'there is no device' : `pool ${need.pool} has no device that is there`;
    return `it needs ${wanted} on ${devices}, and ${where}: its devices are missing, or have other ids than the configuration says (\`vllm-gateway doctor\` lists what is there)`;
  }
  const where = need.pool === null ? 'the devices offer' : `pool ${need.pool} offers`;
  const budgets = possible.map((device) => `${device.id} ${device.budgetMib} MiB`).join(', ');
  const alike = need.deviceCount > 1 ? ' of one size' : '';
  return `it needs ${wanted} on ${devices}${alike}, and ${where} ${budgets}`;
}

/** `feasible`: the devices that could hold it if nothing else were there. */
export function blockedReason(need: PlacementNeed, feasible: readonly DeviceView[]): string {
  const why = hindrance(feasible);
  return need.onlyOn === null ? why : `${sleepsOn(need.onlyOn)}: ${why}`;
}

function hindrance(feasible: readonly DeviceView[]): string {
  const held = feasible.filter((device) => device.held).length;
  if (held > 0) return `${held} of ${feasible.length} possible devices are set aside for models ahead of it`;
  const foreignMib = feasible.reduce((sum, device) => sum + device.budgetMib - device.availableMib, 0);
  if (foreignMib > 0) {
    return `programs that are not ours take ${foreignMib} MiB of the budget of the possible devices`;
  }
  const stuckMib = feasible
    .flatMap((device) => device.leaving)
    .reduce((sum, part) => (part.inMs === Number.POSITIVE_INFINITY ? sum + part.memoryMib : sum), 0);
  return stuckMib > 0
    ? `engines whose stop could not be verified hold ${stuckMib} MiB of the possible devices`
    : 'every possible device is taken by engines that never give way';
}

function sleepsOn(ids: readonly string[]): string {
  return `it sleeps on ${ids.join(', ')} and wakes nowhere else`;
}
