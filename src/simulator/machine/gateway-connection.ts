/**
 * What one gateway has of the machine: its clock, runtime and readings. Cut off, nothing of it does anything any more and
 * nothing is ever answered, as after the gateway's death.
 */

import type { ResolvedConfig } from '../../config/resolved-config.ts';
import type { ControlPorts } from '../../control/control-loop.ts';
import { ModelSizer } from '../../control/model-sizer.ts';
import { launchSignature } from '../../control/policies.ts';
import type { CancelTimer, Clock } from '../../core/clock.ts';
import type { LaunchId } from '../../core/ids.ts';
import type { HostMemory, MemoryReading } from '../../devices/device.ts';
import type { Endpoint, EndpointOptions } from '../../proxy/endpoint-types.ts';
import type { AdoptedEngine, LaunchObserver, Runtime } from '../../runtimes/runtime.ts';
import type { Effect } from '../../scheduler/effects.ts';
import type { SchedulerEvent } from '../../scheduler/events.ts';
import type { StoredFootprint } from '../../store/footprints.ts';
import { awakeMib, hostAsleepMib, type ModelCosts, RESIDUE_MIB } from '../world.ts';
import { createMachineEngine, MachineHttp } from './machine-engine.ts';
import type { MachineLaunch } from './machine-launch.ts';
import type { SimulatedMachine } from './simulated-machine.ts';

/** How the machine looks from outside. */
export interface MachineView {
  /** Added to the clock where it tells the time of day. */
  readonly wallOffsetMs: () => number;
  /** What a reading of the devices says, where it is not the truth; null: it fails. */
  readonly reading: (truth: readonly MemoryReading[]) => readonly MemoryReading[] | null;
  /** How long the next step of an operation takes that is not a move, each before and after it takes effect. */
  readonly latencyMs: () => number;
  readonly log: (text: string) => void;
}

export const TRUTHFUL: MachineView = {
  wallOffsetMs: () => 0,
  reading: (truth) => truth,
  latencyMs: () => 0,
  log: () => {},
};

export interface ConnectionOptions extends MachineView {
  readonly machine: SimulatedMachine;
  readonly config: ResolvedConfig;
  readonly costs: ReadonlyMap<string, ModelCosts>;
}

/** Effects that promises hang on; the others are carried out synchronously. */
const SLOW_EFFECTS: ReadonlySet<Effect['kind']> = new Set([
  'start',
  'stop',
  'sleep',
  'wake',
  'release',
  'probe',
  'fetch',
  'cancel_fetch',
]);

export class GatewayConnection {
  readonly clock: Clock;
  readonly #options: ConnectionOptions;
  #isCut = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { machine } = options;
    this.clock = {
      nowMs: () => machine.clock.nowMs(),
      wallMs: () => machine.clock.nowMs() + options.wallOffsetMs(),
      setTimer: (atMs, fire) => this.#setTimer(atMs, fire),
    };
  }

  /** The gateway is dead; the engines are not. */
  cut(): void {
    this.#isCut = true;
  }

  ports(): ControlPorts {
    const { machine, config, log } = this.#options;
    const { clock } = this;
    const engine = createMachineEngine(machine, clock, (answer) => this.#told(answer));
    return {
      clock,
      runtime: this.#runtime(),
      engineOf: () => engine,
      readMemory: () => this.#answer(() => this.#read()),
      readHost: () => this.#answer<HostMemory | null>(() => machine.books.host()),
      deviceEnvironment: {},
      openHttp: ({ listen }) => new MachineHttp(listen),
      openEndpoint: (_model, options) => endpoint(options),
      log: (_level, text) => log(text),
      createSizer: (onNeed) =>
        new ModelSizer({
          config,
          engineOf: () => engine,
          readFacts: () => null,
          isReachedPrivately: () => true,
          footprints: this.#footprints(),
          clock,
          signatureOf: launchSignature,
          onNeed,
          log: (_level, text) => log(text),
        }),
      observe: (_event: SchedulerEvent, effects) => this.#observe(effects),
      recorder: null,
      openFetcher: () => Promise.reject(new Error('simulated models have nothing to fetch')),
    };
  }

  #observe(effects: readonly Effect[]): void {
    const { machine } = this.#options;
    for (const effect of effects) {
      if (SLOW_EFFECTS.has(effect.kind)) machine.touch();
      const launch = effect.kind === 'stop' ? machine.launchOf(effect.launchId) : null;
      if (launch !== null) launch.isEnding = true;
    }
  }

  #setTimer(atMs: number, fire: () => void): CancelTimer {
    const { machine } = this.#options;
    return machine.clock.setTimer(atMs, () => {
      if (this.#isCut) return;
      machine.touch();
      fire();
    });
  }

  /** Asks the machine. */
  async #answer<T>(ask: () => T | Promise<T>): Promise<T> {
    this.#options.machine.touch();
    await this.#pause();
    const answer = await this.#told(Promise.resolve(ask()));
    await this.#pause();
    return answer;
  }

  async #pause(): Promise<void> {
    const ms = this.#options.latencyMs();
    if (ms > 0) await new Promise<void>((resolve) => this.#setTimer(this.clock.nowMs() + ms, resolve));
    if (this.#isCut) await new Promise<never>(() => {});
  }

  /** Never, once the gateway is dead. */
  async #told<T>(answer: Promise<T>): Promise<T> {
    const told = await answer;
    if (this.#isCut) await new Promise<never>(() => {});
    return told;
  }

  #read(): readonly MemoryReading[] {
    const { machine, reading } = this.#options;
    const readings = reading(machine.books.readings());
    if (readings === null) throw new Error('the devices do not answer');
    return readings;
  }

  #runtime(): Runtime {
    const { machine } = this.#options;
    const { clock } = this;
    const stop = (launchId: LaunchId) =>
      this.#answer(() => {
        const launch = machine.launchOf(launchId);
        if (launch === null) return { kind: 'gone', tookMs: 0, forced: false } as const;
        launch.stage = { kind: 'stopping' };
        return launch.stop();
      });
    return {
      kind: 'simulated',
      capabilities: { unixSockets: true, survivesUs: true, sharesHost: true, isPrivate: true, exposure: '' },
      address: (launchId) => this.#answer(() => machine.addressOf(launchId)),
      releaseAddress: () => {},
      prepare: () => this.#answer(() => ({ kind: 'ready' })),
      launch: (spec, observer) =>
        this.#answer(() => ({
          kind: 'launched',
          handle: machine.launch(spec, this.#guarded(observer), clock.wallMs()),
        })),
      note: ({ launchId }, stage) =>
        this.#answer(() => {
          const launch = machine.launchOf(launchId);
          if (launch !== null) launch.stage = stage;
        }),
      stop: ({ launchId }) => stop(launchId),
      kill: ({ launchId }) => stop(launchId),
      adopt: (observerFor) =>
        this.#answer(() => [...machine.launches].map((launch) => this.#adopted(launch, observerFor))),
      ownerOf: () => null,
      processes: () => this.#answer(() => new Map()),
      close: async () => {},
    };
  }

  #adopted(launch: MachineLaunch, observerFor: (engine: AdoptedEngine) => LaunchObserver): AdoptedEngine {
    const { handle, spec, stage } = launch;
    const engine = { handle, spec, stage };
    launch.observer = this.#guarded(observerFor(engine));
    return engine;
  }

  /** Tells nothing any more once the gateway is dead. */
  #guarded(observer: LaunchObserver): LaunchObserver {
    return {
      line: (text) => {
        if (!this.#isCut) observer.line(text);
      },
      exited: (exit) => {
        if (!this.#isCut) observer.exited(exit);
      },
    };
  }

  /** What a model takes is known from the start: worlds say it, and learning it is not what is measured. */
  #footprints() {
    const { config, costs } = this.#options;
    const stored: StoredFootprint[] = [...config.models.values()].flatMap((model) => {
      const of = costs.get(model.name);
      if (of === undefined) return [];
      return {
        model: model.name,
        signature: launchSignature(model),
        deviceCount: of.gpus,
        usedMib: awakeMib(of),
        source: 'per_process',
        kvCacheMib: null,
        kvCacheTokens: null,
        weightsMib: of.weightsMib,
        residueMib: RESIDUE_MIB,
        hostAwakeMib: 0,
        hostAsleepMib: hostAsleepMib(of),
        measuredAtS: 0,
      };
    });
    return {
      all: () => stored,
      put: () => {},
      refusedFlags: () => new Set<string>(),
      addRefusedFlag: () => {},
    };
  }
}

/** Requests do not go through it: whoever is granted one is served by the engine at its address. */
function endpoint(options: EndpointOptions): Endpoint {
  return {
    options,
    counters: { connectionsCreated: 0, requestsSent: 0, poolWaits: 0 },
    send: neverSent,
    upgrade: neverSent,
    isMute: false,
    heard: () => {},
    close: () => {},
    destroy: () => {},
  };
}

function neverSent(): never {
  throw new Error('simulated requests are served without a connection');
}
