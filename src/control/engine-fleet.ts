/**
 * All launches of this gateway: carries out the scheduler's moves on them, and turns what they report into events. It
 * decides nothing.
 */
import type { ResolvedConfig, ResolvedModel } from '../config/resolved-config.ts';
import { assert, assertNever } from '../core/assert.ts';
import type { Clock } from '../core/clock.ts';
import type { DeviceId, LaunchId, ModelName } from '../core/ids.ts';
import type { Device, HostMemory, MemoryReading } from '../devices/device.ts';
import type { Engine, EngineHttp, LaunchSource } from '../engines/engine.ts';
import type { Endpoint, EndpointOptions } from '../proxy/endpoint-types.ts';
import type { AdoptedEngine, EngineHandle, Runtime } from '../runtimes/runtime.ts';
import type { Effect } from '../scheduler/effects.ts';
import type { SchedulerEvent } from '../scheduler/events.ts';
import type { FoundEngine } from './adoption.ts';
import { EngineLaunch } from './engine-launch.ts';
import type { LaunchPorts } from './launch-ports.ts';
import type { ModelSizer } from './model-sizer.ts';
import { launchSignature } from './policies.ts';
import type { RoomWant } from './room.ts';

export interface FleetPorts {
  readonly clock: Clock;
  readonly runtime: Runtime;
  readonly engineOf: (model: ResolvedModel) => Engine;
  readonly readMemory: () => Promise<readonly MemoryReading[]>;
  readonly readHost: () => Promise<HostMemory | null>;
  readonly deviceEnvironment: Readonly<Record<string, string>>;
  readonly openHttp: (handle: Pick<EngineHandle, 'listen' | 'authorization'>) => EngineHttp;
  readonly openEndpoint: (model: ModelName, options: EndpointOptions) => Endpoint;
  readonly log: (
    level: 'debug' | 'info' | 'warn' | 'error',
    text: string,
    fields: Record<string, unknown>,
  ) => void;
}

export type MoveEffect = Extract<
  Effect,
  { kind: 'start' | 'stop' | 'sleep' | 'wake' | 'drain' | 'release' | 'probe' }
>;

/** What the fleet asks and tells its loop. */
export interface FleetOwner {
  /** What was fetched for the model; null: it starts as configured. */
  readonly sourceOf: (model: ModelName) => LaunchSource | null;
  readonly report: (event: SchedulerEvent) => void;
  /** Is an engine that was reported as adopted to go on, or to be ended? */
  readonly isKept: (launchId: LaunchId) => boolean;
  /** A launch that was left to itself is forgotten. */
  readonly onForgotten: () => void;
}

export class EngineFleet {
  readonly #ports: FleetPorts;
  readonly #config: ResolvedConfig;
  readonly #sizer: ModelSizer;
  readonly #owner: FleetOwner;
  readonly #launches = new Map<LaunchId, EngineLaunch>();
  #devices: ReadonlyMap<DeviceId, Device> = new Map();

  constructor(ports: FleetPorts, config: ResolvedConfig, sizer: ModelSizer, owner: FleetOwner) {
    this.#ports = ports;
    this.#config = config;
    this.#sizer = sizer;
    this.#owner = owner;
  }

  /** Launches of which something may be left. */
  get size(): number {
    return this.#launches.size;
  }

  setDevices(devices: readonly Device[]): void {
    this.#devices = new Map(devices.map((device) => [device.id, device]));
  }

  endpointOf(launchId: LaunchId): Endpoint | null {
    return this.#launches.get(launchId)?.endpoint ?? null;
  }

  /** Process or container of a launch, for people; null: there is none yet. */
  referenceOf(launchId: LaunchId): string | null {
    return this.#launches.get(launchId)?.reference ?? null;
  }

  /** Nothing of it is left, or it was never begun. */
  forget(launchId: LaunchId): void {
    this.#launches.delete(launchId);
  }

  carryOut(effect: MoveEffect): void {
    const { kind, model, launchId, reason } = effect;
    this.#ports.log(kind === 'probe' ? 'warn' : 'info', `${kind} ${model}: ${reason}`, {
      model,
      launch: launchId,
    });
    if (effect.kind === 'start') {
      this.#start(effect);
      return;
    }
    const launch = this.#launches.get(launchId);
    if (launch === undefined) return;
    switch (effect.kind) {
      case 'stop':
        launch.stop(effect.graceMs);
        return;
      case 'sleep':
        launch.sleep(effect.level);
        return;
      case 'wake':
        launch.wake(effect.level, this.#wakeWants(launch, effect.memoryMibPerDevice));
        return;
      case 'drain':
        // Told in the log; the gate lets nobody in.
        return;
      case 'probe':
        launch.probe();
        return;
      case 'release':
        void launch.release().finally(() => {
          this.#launches.delete(launchId);
          this.#owner.onForgotten();
        });
        return;
      default:
        assertNever(effect, 'move');
    }
  }

  /**
   * Engines of an earlier gateway, each told to the scheduler as soon as it has answered; the scheduler decides which of them
   * serve on. Answers how many may.
   */
  async adopt(): Promise<number> {
    const launches = new Map<LaunchId, EngineLaunch>();
    const adopted = await this.#ports.runtime.adopt((engine) => {
      const launch = this.#adoptedLaunch(engine);
      launches.set(engine.handle.launchId, launch);
      return launch.observer();
    });
    const taken = await Promise.all(
      adopted.map(async (engine) => {
        const launch = launches.get(engine.handle.launchId);
        assert(launch !== undefined, `engine ${engine.handle.launchId} was adopted without an observer`);
        return this.#take(engine, launch, await launch.adopt(engine));
      }),
    );
    return taken.filter((isTaken) => isTaken).length;
  }

  #take({ spec, handle }: AdoptedEngine, launch: EngineLaunch, found: FoundEngine): boolean {
    const { launchId, model, deviceIds, memoryMibPerDevice, signature } = spec;
    this.#launches.set(launchId, launch);
    // It may have died while it was asked, and its devices may be gone.
    const fits = !launch.hasExited && deviceIds.every((id) => this.#devices.has(id));
    const stage = fits
      ? found.stage
      : ({ kind: 'unusable', why: launch.hasExited ? 'that has ended' : 'whose devices are gone' } as const);
    this.#ports.log(
      'info',
      `an engine of ${model} was found (${handle.reference}): ${stage.kind.replace('_', ' ')}`,
      {
        model,
        launch: launchId,
      },
    );
    const about = { launchId, model, deviceIds, memoryMibPerDevice, signature, stage };
    this.#owner.report({ kind: 'adopted', launch: about, contextLength: found.contextLength });
    // What is to be ended has nothing to go on with.
    if (!this.#owner.isKept(launchId)) return false;
    launch.resume(stage);
    return true;
  }

  #start(effect: Extract<Effect, { kind: 'start' }>): void {
    const model = this.#config.models.get(effect.model);
    assert(model !== undefined, `there is no configuration of ${effect.model}`);
    const launch = new EngineLaunch(this.#launchPorts(model, effect.launchId), model, effect.launchId);
    this.#launches.set(effect.launchId, launch);
    const devices = effect.deviceIds
      .map((id) => this.#devices.get(id))
      .filter((device) => device !== undefined);
    launch.start(effect, {
      devices,
      signature: launchSignature(model),
      source: this.#owner.sourceOf(model.name),
      ...this.#sizer.launchPlan(model.name, effect.deviceIds.length, effect.memoryMibPerDevice),
    });
  }

  /** What waking adds to the devices, as far as it is known what stayed there. */
  #wakeWants(launch: EngineLaunch, memoryMibPerDevice: number): RoomWant[] {
    const residueMib = this.#sizer.needOf(launch.model.name)?.residueMib ?? 0;
    return launch.deviceIds.flatMap((deviceId) => {
      const device = this.#devices.get(deviceId);
      if (device === undefined) return [];
      const neededMib = Math.max(0, memoryMibPerDevice - residueMib);
      return [{ deviceId, neededMib, totalMib: device.totalMib }];
    });
  }

  #adoptedLaunch(engine: AdoptedEngine): EngineLaunch {
    const configured = this.#config.models.get(engine.spec.model);
    const model = configured ?? [...this.#config.models.values()][0];
    assert(model !== undefined, 'the configuration has no models');
    // An engine whose model is gone only has to be stopped; any model's ports serve for that.
    const { launchId } = engine.handle;
    const ports = this.#launchPorts(model, launchId);
    // Whatever becomes of it, nothing is concluded for the model whose ports these are.
    return new EngineLaunch(
      configured === undefined ? { ...ports, mend: () => null } : ports,
      model,
      launchId,
    );
  }

  #launchPorts(model: ResolvedModel, launchId: LaunchId): LaunchPorts {
    const { clock, runtime, openHttp, openEndpoint, log, engineOf, deviceEnvironment } = this.#ports;
    const { readMemory, readHost } = this.#ports;
    return {
      clock,
      runtime,
      engine: engineOf(model),
      openHttp,
      openEndpoint,
      deviceEnvironment,
      readMemory,
      readHost,
      memoryReported: (report) => this.#sizer.memoryReported(launchId, report),
      mend: (diagnosis) => this.#sizer.mend(model.name, diagnosis),
      connectTimeoutMs: this.#config.server.connectTimeoutMs,
      log,
      send: (event) => {
        this.#logReport(event);
        this.#owner.report(event);
      },
    };
  }

  #logReport(event: SchedulerEvent): void {
    const { log } = this.#ports;
    switch (event.kind) {
      case 'exited': {
        const { mended } = event;
        const fields = { model: event.model, launch: event.launchId };
        const text = `engine of ${event.model} ended: ${event.failure.text}`;
        log(mended === undefined ? 'error' : 'warn', text, fields);
        if (mended !== undefined) log('warn', `${event.model}: ${mended}`, { model: event.model });
        return;
      }
      case 'ready':
        log('info', `engine of ${event.model} is ready`, { model: event.model, launch: event.launchId });
        return;
      case 'slept':
      case 'woke': {
        const [did, failed] =
          event.kind === 'slept'
            ? ['sleeps', 'could not be put to sleep']
            : ['is awake again', 'did not wake'];
        const fields = { launch: event.launchId };
        if (event.ok) log('info', `engine of ${event.model} ${did}`, fields);
        else log('error', `engine of ${event.model} ${failed}: ${event.detail}`, fields);
        return;
      }
      case 'no_room': {
        const free = Object.entries(event.freeMib).map(([id, mib]) => `${id} has ${mib} MiB free`);
        log('warn', `${event.model} was not launched, because its devices lack room: ${free.join(', ')}`, {
          model: event.model,
        });
        return;
      }
      case 'stopped':
        if (!event.verified)
          log('error', `the stop of ${event.model} could not be verified: ${event.detail}`, {
            launch: event.launchId,
          });
        return;
      default:
        return;
    }
  }
}
