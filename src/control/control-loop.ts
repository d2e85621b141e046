/**
 * The control loop: the one owner of the scheduler's state. Every event goes through `#send`; effects are carried out at
 * once and in order, slow ones in the background, which answer with events of their own.
 *  C1. `decide` is never entered twice: what an effect causes synchronously waits in the inbox.
 *  C2. A ticket exists from `admit` until its request's one end.
 */
import type { ResolvedConfig, ResolvedModel } from '../config/resolved-config.ts';
import { assert, assertNever } from '../core/assert.ts';
import type { CancelTimer, Clock } from '../core/clock.ts';
import { IdMap } from '../core/id-map.ts';
import type { DeviceId, LaunchId, ModelName, RequestId } from '../core/ids.ts';
import { POISON_REFUSAL_MS } from '../core/limits.ts';
import type { Device, MemoryReading } from '../devices/device.ts';
import type { Engine, EngineHttp, ListenAddress } from '../engines/engine.ts';
import type { Endpoint, EndpointOptions } from '../proxy/endpoint-types.ts';
import type { AdoptedEngine, Runtime } from '../runtimes/runtime.ts';
import { beginScheduling, decide } from '../scheduler/decide.ts';
import type { Effect } from '../scheduler/effects.ts';
import { type Estimate, estimate } from '../scheduler/estimate.ts';
import type { OperatorCommand, SchedulerEvent } from '../scheduler/events.ts';
import type { SchedulerSetup } from '../scheduler/model-policy.ts';
import type { SchedulerState } from '../scheduler/state.ts';
import type { StoredCosts } from '../store/learned-costs.ts';
import { ConditionWaiters } from './condition-waiters.ts';
import { learnedCosts } from './cost-keeper.ts';
import { EngineLaunch, type LaunchPorts } from './engine-launch.ts';
import { openExternalEndpoints } from './external-endpoints.ts';
import type { Admission, Gate, GiveBackCause, Outcome, Waiter } from './gate.ts';
import { PoisonList } from './poison-list.ts';
import { deviceBudgets, launchSignature, modelPolicies, schedulingPolicy } from './policies.ts';
import type { RunRecorder } from './run-record.ts';

export interface ControlPorts {
  readonly clock: Clock;
  readonly runtime: Runtime;
  readonly engineOf: (model: ResolvedModel) => Engine;
  readonly readMemory: () => Promise<readonly MemoryReading[]>;
  readonly deviceEnvironment: Readonly<Record<string, string>>;
  readonly openHttp: (address: ListenAddress) => EngineHttp;
  readonly openEndpoint: (model: ModelName, options: EndpointOptions) => Endpoint;
  readonly log: (
    level: 'debug' | 'info' | 'warn' | 'error',
    text: string,
    fields: Record<string, unknown>,
  ) => void;
  /** Called for every event with what it led to: metrics and the like. Must be quick and must not throw. */
  readonly observe: (event: SchedulerEvent, effects: readonly Effect[]) => void;
  readonly recorder: RunRecorder | null;
}

interface Ticket {
  readonly admission: Admission;
  readonly waiter: Waiter;
  granted: boolean;
}

export interface ControlOptions {
  readonly config: ResolvedConfig;
  /** What an earlier run has measured; used for launches that are still the same. */
  readonly learned: StoredCosts;
  /** First part of launch ids, unique for this run of the gateway. */
  readonly launchPrefix: string;
  readonly version: string;
}

export class ControlLoop implements Gate {
  readonly #ports: ControlPorts;
  readonly #config: ResolvedConfig;
  #devices: ReadonlyMap<string, Device> = new Map();
  readonly #state: SchedulerState;
  readonly #tickets = new IdMap<Ticket>();
  readonly #launches = new Map<LaunchId, EngineLaunch>();
  readonly #external: ReadonlyMap<ModelName, Endpoint>;
  readonly #timers = new Map<string, CancelTimer>();
  readonly #inbox: SchedulerEvent[] = [];
  readonly #poison: PoisonList;
  /** The last request of each model whose connection broke: its engine's death may be its doing. */
  readonly #lastBroken = new Map<
    ModelName,
    { readonly requestId: RequestId; readonly body: Uint8Array | null }
  >();
  readonly #waiters: ConditionWaiters;
  #deciding = false;
  #nextRequestId = 1;

  constructor(ports: ControlPorts, options: ControlOptions) {
    const { config } = options;
    this.#ports = ports;
    this.#config = config;
    this.#poison = new PoisonList(ports.clock);
    this.#waiters = new ConditionWaiters(ports.clock);
    const { engineOf, openEndpoint } = ports;
    this.#external = openExternalEndpoints(config.models.values(), config.server, engineOf, openEndpoint);
    const models = modelPolicies(config, ports.engineOf);
    const setup: SchedulerSetup = {
      models,
      devices: null,
      scheduling: schedulingPolicy(config),
      learned: learnedCosts(options.learned, models),
      launchPrefix: options.launchPrefix,
    };
    const nowMs = ports.clock.nowMs();
    const { state, effects } = beginScheduling(setup, nowMs);
    this.#state = state;
    ports.recorder?.begin(options.version, new Date(ports.clock.wallMs()), nowMs, setup, effects);
    this.#carryOutAll(effects);
  }

  /** For reading only: status, metrics. Nothing that changes anything may be decided from it. */
  get state(): SchedulerState {
    return this.#state;
  }

  estimate(model: ModelName): Estimate {
    return estimate(this.#state, model, this.#ports.clock.nowMs());
  }

  command(command: OperatorCommand): void {
    this.#send({ kind: 'operator_command', command });
  }

  admit(admission: Admission, waiter: Waiter): RequestId {
    const id = this.#nextRequestId;
    this.#nextRequestId += 1;
    const deaths = this.#poison.refusedDeaths(admission.model, admission.body);
    if (deaths > 0) {
      waiter.refused({ code: 'poison_request', parameters: { deaths, minutes: POISON_REFUSAL_MS / 60_000 } });
      return id;
    }
    this.#tickets.set(id, { admission, waiter, granted: false });
    this.#send({
      kind: 'arrived',
      requestId: id,
      model: admission.model,
      patienceMs: admission.queueTimeoutMs ?? null,
    });
    return id;
  }

  leave(id: RequestId): void {
    const ticket = this.#tickets.get(id);
    if (ticket === undefined || ticket.granted) return;
    this.#tickets.delete(id);
    this.#send({ kind: 'left', requestId: id });
  }

  finish(id: RequestId, outcome: Outcome): void {
    const ticket = this.#tickets.get(id);
    if (ticket === undefined || !ticket.granted) return;
    this.#tickets.delete(id);
    const broken = outcome === 'engine_error';
    if (broken && !this.#external.has(ticket.admission.model))
      this.#lastBroken.set(ticket.admission.model, { requestId: id, body: ticket.admission.body });
    this.#send({ kind: 'finished', requestId: id, broken });
  }

  giveBack(id: RequestId, cause: GiveBackCause, detail: string): void {
    const ticket = this.#tickets.get(id);
    if (ticket === undefined || !ticket.granted) return;
    ticket.granted = false;
    if (cause === 'connection_lost' && !this.#external.has(ticket.admission.model)) {
      this.#lastBroken.set(ticket.admission.model, { requestId: id, body: ticket.admission.body });
    }
    this.#send({ kind: 'returned', requestId: id, cause, detail });
  }

  /**
   * The devices were read. Engines of an earlier gateway come first: the ready ones that the configuration still wants
   * serve on, the others are stopped. Then the first engines may start. Answers how many serve on.
   */
  async adopt(devices: readonly Device[]): Promise<number> {
    this.#devices = new Map(devices.map((device) => [device.id, device]));
    const launches = new Map<LaunchId, EngineLaunch>();
    const adopted = await this.#ports.runtime.adopt((engine) => {
      const launch = this.#adoptedLaunch(engine);
      launches.set(engine.handle.launchId, launch);
      return launch.observer();
    });
    const found = await Promise.all(
      adopted.map(async (engine) => {
        const launch = launches.get(engine.handle.launchId);
        assert(launch !== undefined, `engine ${engine.handle.launchId} was adopted without an observer`);
        launch.adopt(engine);
        return { engine, launch, ...(await launch.isReady()) };
      }),
    );
    let taken = 0;
    for (const { engine, launch, ready, contextLength } of found) {
      this.#launches.set(engine.handle.launchId, launch);
      const { launchId, model, deviceIds, memoryMibPerDevice, signature } = engine.spec;
      // It may have died while another one was asked.
      const fits = ready && !launch.hasExited && deviceIds.every((id) => this.#devices.has(id));
      if (fits) taken += 1;
      // An engine that is not ready, or whose devices are gone, matches nothing: the scheduler has it stopped.
      const asSigned = fits ? signature : '';
      this.#send({
        kind: 'adopted',
        launch: { launchId, model, deviceIds, memoryMibPerDevice, signature: asSigned },
        contextLength,
      });
    }
    // Only now: before, nothing starts, so that nothing can start on devices that adopted engines hold.
    this.#send({ kind: 'devices_changed', devices: deviceBudgets(devices, new Map()) });
    return taken;
  }

  /** Devices came or went, or foreign programs use more or less of them. Nothing before `adopt` has ended. */
  devicesChanged(devices: readonly Device[], foreignMib: ReadonlyMap<DeviceId, number>): void {
    this.#devices = new Map(devices.map((device) => [device.id, device]));
    this.#send({ kind: 'devices_changed', devices: deviceBudgets(devices, foreignMib) });
  }

  shutdown(step: 'drain' | 'stop', leaveEngines: boolean): void {
    this.#send({ kind: 'shutdown', step, leaveEngines });
  }

  /** Resolves when no request waits or runs, at the time limit, or when `hurry` aborts; answers whether all had ended. */
  async untilQuiet(limitMs: number, hurry: AbortSignal): Promise<boolean> {
    return this.#waiters.until(() => this.#tickets.size === 0, limitMs, hurry);
  }

  /** Resolves when every engine that was to be stopped is gone, or at the time limit. */
  async untilEnginesGone(limitMs: number): Promise<boolean> {
    return this.#waiters.until(() => this.#launches.size === 0, limitMs);
  }

  /** Releases timers and connections; the engines are as they are. */
  close(): void {
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    for (const endpoint of this.#external.values()) endpoint.destroy(new Error('the gateway stops'));
  }

  #send(event: SchedulerEvent): void {
    this.#inbox.push(event);
    if (this.#deciding) return;
    this.#deciding = true;
    try {
      for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) {
        const nowMs = this.#ports.clock.nowMs();
        const effects = decide(this.#state, next, nowMs);
        this.#ports.recorder?.add(nowMs, next, effects);
        this.#ports.observe(next, effects);
        this.#carryOutAll(effects);
      }
    } finally {
      this.#deciding = false;
    }
    this.#waiters.look();
  }

  #carryOutAll(effects: readonly Effect[]): void {
    for (const effect of effects) this.#carryOut(effect);
  }

  #carryOut(effect: Effect): void {
    switch (effect.kind) {
      case 'dispatch':
        this.#dispatch(effect);
        return;
      case 'refuse': {
        const ticket = this.#tickets.get(effect.requestId);
        this.#tickets.delete(effect.requestId);
        ticket?.waiter.refused(effect.refusal);
        return;
      }
      case 'cut':
        this.#tickets.get(effect.requestId)?.waiter.cut(effect.refusal);
        return;
      case 'set_timer':
        this.#timers.get(effect.key)?.();
        this.#timers.set(
          effect.key,
          this.#ports.clock.setTimer(effect.atMs, () => this.#send({ kind: 'timer', key: effect.key })),
        );
        return;
      case 'lone_death':
        this.#blame(effect.requestId, effect.model);
        return;
      case 'start':
      case 'stop':
      case 'release':
      case 'probe':
        this.#move(effect);
        return;
      default:
        assertNever(effect, 'effect');
    }
  }

  #dispatch(effect: Extract<Effect, { kind: 'dispatch' }>): void {
    const ticket = this.#tickets.get(effect.requestId);
    const endpoint =
      effect.launchId === null
        ? this.#external.get(effect.model)
        : this.#launches.get(effect.launchId)?.endpoint;
    assert(
      endpoint !== undefined && endpoint !== null,
      `${effect.model} was dispatched to without an endpoint`,
    );
    if (ticket === undefined) {
      // It left between the event and its effect (C1): give the slot back.
      this.#send({ kind: 'finished', requestId: effect.requestId, broken: false });
      return;
    }
    ticket.granted = true;
    ticket.waiter.granted({
      requestId: effect.requestId,
      model: effect.model,
      endpoint,
      waitedMs: effect.waitedMs,
      load: effect.load,
      queueDepth: effect.queueDepth,
    });
  }

  #move(effect: Extract<Effect, { kind: 'start' | 'stop' | 'release' | 'probe' }>): void {
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
    if (effect.kind === 'stop') launch.stop(effect.graceMs);
    else if (effect.kind === 'probe') launch.probe();
    else {
      launch.release();
      this.#launches.delete(launchId);
    }
  }

  #start(effect: Extract<Effect, { kind: 'start' }>): void {
    const model = this.#config.models.get(effect.model);
    assert(model !== undefined, `there is no configuration of ${effect.model}`);
    const launch = new EngineLaunch(this.#launchPorts(model), model, effect.launchId);
    this.#launches.set(effect.launchId, launch);
    const devices = effect.deviceIds
      .map((id) => this.#devices.get(id))
      .filter((device) => device !== undefined);
    launch.start(effect, devices, launchSignature(model));
  }

  #launchPorts(model: ResolvedModel): LaunchPorts {
    const { clock, runtime, openHttp, openEndpoint, log, engineOf, deviceEnvironment, readMemory } =
      this.#ports;
    return {
      clock,
      runtime,
      engine: engineOf(model),
      openHttp,
      openEndpoint,
      deviceEnvironment,
      readMemory,
      connectTimeoutMs: this.#config.server.connectTimeoutMs,
      silenceTimeoutMs: this.#config.server.engineTimeoutMs,
      log,
      send: (event) => this.#launchReported(event),
    };
  }

  #launchReported(event: SchedulerEvent): void {
    this.#logReport(event);
    if (event.kind === 'stopped' && event.verified) this.#launches.delete(event.launchId);
    this.#send(event);
    // The verdict is spoken: the request that was suspected need not be kept.
    if (event.kind === 'probed' || event.kind === 'stopped') this.#lastBroken.delete(event.model);
  }

  #logReport(event: SchedulerEvent): void {
    if (event.kind === 'exited') {
      this.#ports.log('error', `engine of ${event.model} ended: ${event.failure.text}`, {
        model: event.model,
        launch: event.launchId,
      });
    } else if (event.kind === 'ready') {
      this.#ports.log('info', `engine of ${event.model} is ready`, {
        model: event.model,
        launch: event.launchId,
      });
    } else if (event.kind === 'stopped' && !event.verified) {
      this.#ports.log('error', `the stop of ${event.model} could not be verified: ${event.detail}`, {
        launch: event.launchId,
      });
    }
  }

  #adoptedLaunch(engine: AdoptedEngine): EngineLaunch {
    const configured = this.#config.models.get(engine.spec.model);
    const model = configured ?? [...this.#config.models.values()][0];
    assert(model !== undefined, 'the configuration has no models');
    // An engine whose model is gone only has to be stopped; any model's ports serve for that.
    return new EngineLaunch(this.#launchPorts(model), model, engine.handle.launchId);
  }

  #blame(requestId: RequestId, model: ModelName): void {
    const lost = this.#lastBroken.get(model);
    const body =
      this.#tickets.get(requestId)?.admission.body ?? (lost?.requestId === requestId ? lost.body : null);
    if (body !== null) this.#poison.blame(model, body);
  }
}
