/** Which assumption of the waiting bound (design.md) does not hold for a model, and what of it stands in its way. */
import type { DeviceId, ModelName } from '../core/ids.ts';
import type { ContestForecast } from './contest-forecast.ts';
import { placeNow } from './device-view.ts';
import { drainsWithoutLimit } from './drain-time.ts';
import type { Hindrance } from './explanation.ts';
import { availableMib, type DeviceBudget } from './model-policy.ts';
import { roomMib } from './shortage.ts';
import type { ModelState, SchedulerState } from './state.ts';

export interface FoundHindrance {
  readonly kind: Hindrance;
  readonly models: readonly ModelName[];
  readonly deviceIds: readonly DeviceId[];
  /** In words. */
  readonly detail: string;
}

/** Null: somebody can tell how long it waits. */
export function hindranceOf(
  state: SchedulerState,
  model: ModelState,
  contest: ContestForecast | undefined,
  nowMs: number,
): FoundHindrance | null {
  const none = { models: [], deviceIds: [] };
  if (model.neverFits !== null) return { ...none, kind: 'nothing_fits', detail: model.neverFits };
  if (!state.devicesKnown)
    return { ...none, kind: 'devices_unknown', detail: 'the devices have not been read yet' };
  if (model.need === null)
    return { ...none, kind: 'size_unknown', detail: 'what it needs is being found out' };
  if (drainsWithoutLimit(model)) {
    const { name } = model.policy;
    const detail =
      'its drain limit has passed and it waits for its running requests however long they take (on_drain_timeout: wait)';
    return { ...none, kind: 'drain_without_limit', models: [name], detail };
  }
  if (contest !== undefined && contest.roomInMs < Number.POSITIVE_INFINITY) return null;
  const devices = possibleDevices(state, model);
  return (
    endlessDrain(state, devices) ??
    unverifiedStop(state, devices) ??
    foreignMemory(state, devices, nowMs) ??
    alwaysOn(state, devices) ?? { ...none, kind: 'nothing_fits', detail: blockedDetail(state, model, nowMs) }
  );
}

function possibleDevices(state: SchedulerState, { engine, policy }: ModelState): readonly DeviceBudget[] {
  const all = [...state.devices.values()];
  if (engine.kind === 'asleep') {
    const { deviceIds } = engine.awakeReservation;
    return all.filter(({ id }) => deviceIds.includes(id));
  }
  return all.filter(({ pool }) => policy.pool === null || pool === policy.pool);
}

function endlessDrain(state: SchedulerState, devices: readonly DeviceBudget[]): FoundHindrance | null {
  return held(
    state,
    devices,
    drainsWithoutLimit,
    'drain_without_limit',
    (who) =>
      `${who} keeps its devices until its running requests end, without a limit (on_drain_timeout: wait)`,
  );
}

function unverifiedStop(state: SchedulerState, devices: readonly DeviceBudget[]): FoundHindrance | null {
  return held(
    state,
    devices,
    ({ engine }) => engine.kind === 'stopping' && engine.unverified,
    'stop_unverified',
    (who) => `the stop of ${who} could not be verified, so what it held still counts as taken`,
  );
}

function alwaysOn(state: SchedulerState, devices: readonly DeviceBudget[]): FoundHindrance | null {
  return held(
    state,
    devices,
    ({ policy }) => policy.alwaysOn,
    'always_on',
    (who) => `${who} is always on and never gives way`,
  );
}

function held(
  state: SchedulerState,
  devices: readonly DeviceBudget[],
  matches: (model: ModelState) => boolean,
  kind: Hindrance,
  detail: (who: string) => string,
): FoundHindrance | null {
  const models = new Set<ModelName>();
  const deviceIds: DeviceId[] = [];
  for (const { id } of devices) {
    const found = state.engines.holdersOn(id).filter(matches);
    if (found.length > 0) deviceIds.push(id);
    for (const { policy } of found) models.add(policy.name);
  }
  const names = [...models];
  return names.length === 0 ? null : { kind, models: names, deviceIds, detail: detail(names.join(', ')) };
}

function foreignMemory(
  state: SchedulerState,
  devices: readonly DeviceBudget[],
  nowMs: number,
): FoundHindrance | null {
  const taken = devices.filter((device) => roomMib(state, device, nowMs) < device.budgetMib);
  const takenMib = taken.reduce((sum, device) => sum + device.budgetMib - roomMib(state, device, nowMs), 0);
  if (taken.length === 0) return null;
  const isShort = taken.some((device) => roomMib(state, device, nowMs) < availableMib(device));
  const detail = isShort
    ? `something that nobody accounts for takes ${takenMib} MiB of the budget there`
    : `programs that are not ours take ${takenMib} MiB of the budget there`;
  return {
    kind: 'foreign_memory',
    models: [],
    deviceIds: taken.map(({ id }) => id),
    detail,
  };
}

/** In placement's own words. */
function blockedDetail(state: SchedulerState, model: ModelState, nowMs: number): string {
  const placement = placeNow(state, model, nowMs);
  return 'why' in placement ? placement.why : 'its devices are held for others';
}
