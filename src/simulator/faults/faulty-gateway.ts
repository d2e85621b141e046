/** One gateway after the other on the same machine: each knows what is on record, and goes on with it. */
import type { ResolvedConfig } from '../../config/resolved-config.ts';
import { ControlLoop } from '../../control/control-loop.ts';
import type { CancelTimer } from '../../core/clock.ts';
import type { DeviceId } from '../../core/ids.ts';
import type { SchedulerEvent } from '../../scheduler/events.ts';
import type { ModelNeed } from '../../scheduler/model-need.ts';
import type { ModelPolicy } from '../../scheduler/model-policy.ts';
import type { Scheduler } from '../../scheduler/scheduler.ts';
import type { SchedulerState } from '../../scheduler/state.ts';
import { GatewayConnection } from '../machine/gateway-connection.ts';
import type { SimulatedMachine } from '../machine/simulated-machine.ts';
import type { ModelCosts } from '../world.ts';
import type { FaultyWorld } from './faulty-world.ts';

/** How often the devices are read, as the gateway's watch does. */
const READ_PERIOD_MS = 5_000;
/** A reading, or an adoption, that failed is tried again after this. */
const RETRY_MS = 1_000;
/** Smaller changes of foreign memory are not heeded. */
const FOREIGN_STEP_MIB = 256;

export interface GatewayOptions {
  readonly machine: SimulatedMachine;
  readonly world: FaultyWorld;
  readonly config: ResolvedConfig;
  readonly costs: ReadonlyMap<string, ModelCosts>;
  readonly scheduler: Scheduler;
  /** First part of its launch ids. */
  readonly prefix: string;
}

export class FaultyGateway {
  readonly control: ControlLoop;
  /** As the configuration has them. */
  readonly policies: readonly ModelPolicy[];
  /** As the sizer told last, also of models that the configuration is without at present. */
  readonly needs = new Map<string, ModelNeed>();
  readonly #options: GatewayOptions;
  readonly #connection: GatewayConnection;
  readonly #foreignMib = new Map<DeviceId, number>();
  readonly #ending = new AbortController();
  /** Sent before the next event: the loop has no door for it. */
  #injected: SchedulerEvent[] = [];
  #cancelRead: CancelTimer = () => {};
  isAdopting = true;

  constructor(options: GatewayOptions) {
    this.#options = options;
    const { machine, world, config, costs, scheduler, prefix } = options;
    this.#connection = new GatewayConnection({
      machine,
      config,
      costs,
      wallOffsetMs: () => world.wallOffsetMs,
      reading: world.reading,
      latencyMs: world.latencyMs,
      log: () => {},
    });
    this.control = new ControlLoop(this.#connection.ports(), {
      config,
      learned: {},
      launchPrefix: prefix,
      version: 'simulated',
      scheduler: {
        begin: scheduler.begin,
        decide: (state, event, nowMs) => {
          const injected = this.#injected;
          this.#injected = [];
          if (event.kind === 'sized') this.needs.set(event.model, event.need);
          return [...injected, event].flatMap((one) => scheduler.decide(state, one, nowMs));
        },
      },
    });
    this.policies = [...this.control.state.models.values()].map(({ policy }) => policy);
    void this.#adopt();
  }

  /** At once: by an event that changes nothing else. */
  inject(event: SchedulerEvent): void {
    this.#injected.push(event);
    this.#options.machine.touch();
    this.control.command({ kind: 'reset', model: '' });
  }

  get state(): SchedulerState {
    return this.control.state;
  }

  /** It is dead at once. */
  kill(): void {
    this.#connection.cut();
    this.#ending.abort();
    this.#cancelRead();
    this.control.close();
  }

  devicesChanged(): void {
    if (this.isAdopting) return;
    this.control.devicesChanged(this.#options.world.devices, this.#foreignMib);
  }

  async #adopt(): Promise<void> {
    const { world } = this.#options;
    for (;;) {
      const devices = world.devices;
      if (!world.readingsFail && devices.length > 0) {
        await this.control.adopt(devices, this.#ending.signal);
        break;
      }
      await this.#pause(RETRY_MS);
    }
    this.isAdopting = false;
    this.devicesChanged();
    this.#read();
  }

  #pause(ms: number): Promise<void> {
    const { clock } = this.#connection;
    return new Promise((resolve) => {
      clock.setTimer(clock.nowMs() + ms, resolve);
    });
  }

  #read(): void {
    const { machine, world } = this.#options;
    const atMs = machine.clock.nowMs() + READ_PERIOD_MS;
    // Not by the gateway's own clock: no promise hangs on it.
    this.#cancelRead = machine.clock.setTimer(atMs, () => this.#read());
    const readings = world.reading(machine.books.readings());
    if (readings === null) return;
    let isChanged = false;
    for (const { id, foreignMib } of readings) {
      const known = this.#foreignMib.get(id) ?? 0;
      if (foreignMib === null || Math.abs(foreignMib - known) < FOREIGN_STEP_MIB) continue;
      this.#foreignMib.set(id, foreignMib);
      isChanged = true;
    }
    if (isChanged) this.devicesChanged();
    this.control.memoryRead(readings, machine.books.host());
  }
}
