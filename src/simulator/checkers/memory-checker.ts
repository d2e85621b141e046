/**
 * No start and no waking raises what is reserved on a device over what may be reserved there, as far as it is known at the
 * decision. Whoever was started counts until it is known to be gone, whatever the scheduler's state says.
 */
import type { DeviceId, LaunchId } from '../../core/ids.ts';
import type { Effect } from '../../scheduler/effects.ts';
import { reservationOf } from '../../scheduler/engine-state.ts';
import type { SchedulerEvent } from '../../scheduler/events.ts';
import { availableMib } from '../../scheduler/model-policy.ts';
import type { SchedulerState } from '../../scheduler/state.ts';
import type { Checker, Report } from './checker.ts';

interface Held {
  readonly deviceIds: readonly DeviceId[];
  mib: number;
}

export class MemoryChecker implements Checker {
  readonly #report: Report;
  readonly #held = new Map<LaunchId, Held>();

  constructor(report: Report) {
    this.#report = report;
  }

  began(): void {
    this.#held.clear();
  }

  decided(event: SchedulerEvent, effects: readonly Effect[], state: SchedulerState): void {
    this.#heard(event, state);
    for (const effect of effects) {
      if (effect.kind === 'start') {
        this.#held.set(effect.launchId, { deviceIds: effect.deviceIds, mib: effect.memoryMibPerDevice });
        this.#look(effect, effect.deviceIds, state);
      } else if (effect.kind === 'wake') {
        const held = this.#held.get(effect.launchId);
        if (held === undefined) this.#report(`${effect.model} (${effect.launchId}) wakes and never was`);
        else {
          held.mib = effect.memoryMibPerDevice;
          this.#look(effect, held.deviceIds, state);
        }
      } else if (effect.kind === 'release') this.#held.delete(effect.launchId);
    }
  }

  #heard(event: SchedulerEvent, state: SchedulerState): void {
    switch (event.kind) {
      case 'adopted': {
        const { launchId, deviceIds, memoryMibPerDevice } = event.launch;
        this.#held.set(launchId, { deviceIds, mib: memoryMibPerDevice });
        this.#believe(launchId, state);
        return;
      }
      // What it holds now was measured; the state says how far that is believed.
      case 'measured':
        this.#believe(event.launchId, state);
        return;
      case 'slept':
        if (event.ok) this.#believe(event.launchId, state);
        return;
      case 'no_room':
        if (event.asleep) this.#believe(event.launchId, state);
        else this.#held.delete(event.launchId);
        return;
      case 'stopped':
        if (event.verified) this.#held.delete(event.launchId);
        return;
      default:
        return;
    }
  }

  #believe(launchId: LaunchId, state: SchedulerState): void {
    const held = this.#held.get(launchId);
    const engine = state.launches.get(launchId)?.engine;
    const reservation = engine === undefined ? null : reservationOf(engine);
    if (held !== undefined && reservation?.launchId === launchId) held.mib = reservation.memoryMibPerDevice;
  }

  #look(
    { kind, model }: Extract<Effect, { kind: 'start' | 'wake' }>,
    deviceIds: readonly DeviceId[],
    state: SchedulerState,
  ): void {
    for (const id of deviceIds) {
      const device = state.devices.get(id);
      const limitMib = device === undefined ? 0 : availableMib(device);
      let sumMib = 0;
      for (const held of this.#held.values()) if (held.deviceIds.includes(id)) sumMib += held.mib;
      if (sumMib > limitMib)
        this.#report(
          `the ${kind} of ${model} raises what is reserved on ${id} to ${sumMib} of ${limitMib} MiB`,
        );
    }
  }
}
