/** One move per device: no start, sleep or waking begins on a device on which another engine moves. */
import type { DeviceId, LaunchId } from '../../core/ids.ts';
import type { Effect } from '../../scheduler/effects.ts';
import type { SchedulerEvent } from '../../scheduler/events.ts';
import type { AdoptedStage } from '../../scheduler/model-policy.ts';
import type { MoveKind } from '../simulation-observer.ts';
import type { Checker, Report } from './checker.ts';

interface Move {
  readonly kind: MoveKind;
  readonly model: string;
  readonly deviceIds: readonly DeviceId[];
}

const STAGES: Readonly<Record<AdoptedStage['kind'], MoveKind | null>> = {
  starting: 'start',
  falling_asleep: 'sleep',
  waking: 'wake',
  awake: null,
  asleep: null,
  unusable: null,
};

export class OneMoveChecker implements Checker {
  readonly #report: Report;
  readonly #devices = new Map<LaunchId, readonly DeviceId[]>();
  readonly #moves = new Map<LaunchId, Move>();

  constructor(report: Report) {
    this.#report = report;
  }

  began(): void {
    this.#devices.clear();
    this.#moves.clear();
  }

  decided(event: SchedulerEvent, effects: readonly Effect[]): void {
    this.#heard(event);
    for (const effect of effects) {
      switch (effect.kind) {
        case 'start':
          this.#devices.set(effect.launchId, effect.deviceIds);
          this.#begin(effect.kind, effect);
          break;
        case 'sleep':
        case 'wake':
          this.#begin(effect.kind, effect);
          break;
        case 'stop': {
          const { launchId, model } = effect;
          const deviceIds = this.#devices.get(launchId) ?? [];
          this.#moves.set(launchId, { kind: 'stop', model, deviceIds });
          break;
        }
        case 'release':
          this.#moves.delete(effect.launchId);
          this.#devices.delete(effect.launchId);
          break;
        default:
      }
    }
  }

  #heard(event: SchedulerEvent): void {
    switch (event.kind) {
      case 'adopted': {
        const { launchId, model, deviceIds, stage } = event.launch;
        this.#devices.set(launchId, deviceIds);
        const kind = STAGES[stage.kind];
        if (kind !== null) this.#moves.set(launchId, { kind, model, deviceIds });
        return;
      }
      case 'ready':
      case 'slept':
      case 'woke':
      case 'exited':
      case 'no_room':
        // A stop that it came across goes on.
        if (this.#moves.get(event.launchId)?.kind !== 'stop') this.#moves.delete(event.launchId);
        return;
      case 'stopped':
        if (!event.verified) return;
        this.#moves.delete(event.launchId);
        this.#devices.delete(event.launchId);
        return;
      default:
        return;
    }
  }

  #begin(kind: MoveKind, { model, launchId }: { readonly model: string; readonly launchId: LaunchId }): void {
    const deviceIds = this.#devices.get(launchId) ?? [];
    for (const [other, move] of this.#moves) {
      const shared = move.deviceIds.find((id) => deviceIds.includes(id));
      if (other !== launchId && shared !== undefined)
        this.#report(`the ${kind} of ${model} begins on ${shared} beside the ${move.kind} of ${move.model}`);
    }
    this.#moves.set(launchId, { kind, model, deviceIds });
  }
}
