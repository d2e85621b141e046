/** Watches a simulation and keeps what a picture of it needs, within a limit. */
import type { SchedulerEvent } from '../../scheduler/events.ts';
import type { RequestEnd } from '../request-source.ts';
import type { MachineMove, RequestTimes, SimulationObserver } from '../simulation-observer.ts';
import { assignCosts, awakeMib, type ModelCosts, RESIDUE_MIB, type World } from '../world.ts';
import { DeviceCourse } from './device-course.ts';
import { QueueCourse } from './queue-course.ts';
import type { HoldState, SimulationPicture } from './simulation-picture.ts';

/** Of all devices together; each gets its part. A picture is some 1,200 points wide. */
const SLICES_MAX = 4000;
const DEVICE_SLICES_MIN = 200;
const DEVICE_SLICES_MAX = 1200;

const AFTER: Readonly<Record<MachineMove['kind'], HoldState | null>> = {
  start: 'awake',
  wake: 'awake',
  sleep: 'asleep',
  stop: null,
};

export class PictureRecorder implements SimulationObserver {
  readonly #world: World;
  readonly #costs: ReadonlyMap<string, ModelCosts>;
  readonly #courses: ReadonlyMap<string, DeviceCourse>;
  readonly #queues = new QueueCourse();

  constructor(world: World, models: readonly string[]) {
    const share = Math.floor(SLICES_MAX / world.devices.length);
    const slicesMax = Math.max(DEVICE_SLICES_MIN, Math.min(DEVICE_SLICES_MAX, share));
    this.#world = world;
    this.#costs = assignCosts(world, models);
    this.#courses = new Map(world.devices.map(({ id }) => [id, new DeviceCourse(slicesMax)]));
  }

  /** An engine that ended by itself holds nothing any more, and no move tells of it. */
  decided(event: SchedulerEvent, _effects: unknown, _state: unknown, nowMs: number): void {
    if (event.kind !== 'exited') return;
    for (const course of this.#courses.values()) course.hold(event.model, null, 0, nowMs);
  }

  arrived({ request, arrivedMs }: RequestTimes): void {
    this.#queues.changed(request.model, 1, arrivedMs);
  }

  dispatched({ request }: RequestTimes, nowMs: number): void {
    this.#queues.changed(request.model, -1, nowMs);
  }

  ended({ request, dispatchedMs }: RequestTimes, _end: RequestEnd, nowMs: number): void {
    if (dispatchedMs === null) this.#queues.changed(request.model, -1, nowMs);
  }

  moved({ kind, model, deviceIds, fromMs, toMs }: MachineMove): void {
    const costs = this.#costs.get(model);
    if (costs === undefined) return;
    for (const id of deviceIds) {
      const course = this.#courses.get(id);
      // A sleeper that is stopped takes no more for it.
      const mib = kind === 'stop' ? (course?.heldMib(model) ?? 0) : awakeMib(costs);
      course?.hold(model, 'moving', mib, fromMs);
      course?.hold(model, AFTER[kind], kind === 'sleep' ? RESIDUE_MIB : mib, toMs);
    }
  }

  picture(title: string, subtitles: readonly string[], endMs: number): SimulationPicture {
    return {
      title,
      subtitles,
      endMs,
      models: [...this.#costs.keys()],
      lanes: this.#world.devices.map(({ id, memoryMib, budgetFraction }) => ({
        device: id,
        memoryMib,
        budgetMib: memoryMib * budgetFraction,
        slices: this.#courses.get(id)?.slices(endMs) ?? [],
      })),
      queues: this.#queues.queues(endMs),
      queueColumnMs: this.#queues.columnMs,
    };
  }
}
