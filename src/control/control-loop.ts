/**
 * The control loop: the one owner of the scheduler's state. Every event goes through `#send`; effects are carried out at
 * once and in order, slow ones in the background, which answer with events of their own.
 *  C1. `decide` is never entered twice: what an effect causes synchronously waits in the inbox.
 *  C2. A ticket exists from `admit` until its request's one end.
 */
import type { ResolvedConfig } from '../config/resolved-config.ts';
import { assertNever, broken } from '../core/assert.ts';
import type { CancelTimer } from '../core/clock.ts';
import { IdMap } from '../core/id-map.ts';
import type { DeviceId, LaunchId, ModelName, RequestId } from '../core/ids.ts';
import { POISON_REFUSAL_MS } from '../core/limits.ts';
import type { Device, HostMemory, MemoryReading } from '../devices/device.ts';
import type { Endpoint } from '../proxy/endpoint-types.ts';
import type { Effect } from '../scheduler/effects.ts';
import { type Estimate, estimate } from '../scheduler/estimate.ts';
import type { OperatorCommand, SchedulerEvent } from '../scheduler/events.ts';
import type { ModelNeed } from '../scheduler/model-need.ts';
import type { SchedulerSetup } from '../scheduler/model-policy.ts';
import { createScheduler, type Scheduler } from '../scheduler/scheduler.ts';
import type { SchedulerState } from '../scheduler/state.ts';
import type { StoredCosts } from '../store/learned-costs.ts';
import type { WeightsFetcher } from '../weights/fetcher.ts';
import { AnswerRemedies } from './answer-remedies.ts';
import { ConditionWaiters } from './condition-waiters.ts';
import { learnedCosts } from './cost-keeper.ts';
import { EngineFleet, type FleetPorts } from './engine-fleet.ts';
import { openExternalEndpoints } from './external-endpoints.ts';
import type { Admission, FrontGate, GiveBackCause, Outcome, Waiter } from './gate.ts';
import { believedSleep, hostEvent } from './host-follower.ts';
import { lightModels } from './light-models.ts';
import { ModelFetches } from './model-fetches.ts';
import type { ModelSizer } from './model-sizer.ts';
import { PoisonList } from './poison-list.ts';
import { deviceBudgets, modelPolicies, schedulingPolicy } from './policies.ts';
import { restingUses } from './resting-uses.ts';
import type { RunRecorder } from './run-record.ts';
import type { SizingReport } from './sizer-ports.ts';
import { sleeperUses } from './sleeper-uses.ts';

export interface ControlPorts extends FleetPorts {
  /** Makes what finds out what models take; it tells of each need that has changed. */
  readonly createSizer: (onNeed: (model: ModelName, need: ModelNeed) => void) => ModelSizer;
  /** Called for every event with what it led to: metrics and the like. Must be quick and must not throw. */
  readonly observe: (event: SchedulerEvent, effects: readonly Effect[]) => void;
  readonly recorder: RunRecorder | null;
  /** Called once, when the first model has something to fetch. */
  readonly openFetcher: () => Promise<WeightsFetcher>;
}

interface Ticket {
  readonly admission: Admission;
  waiter: Waiter;
  granted: boolean;
}

export interface ControlOptions {
  readonly config: ResolvedConfig;
  /** What an earlier run has measured; used for launches that are still the same. */
  readonly learned: StoredCosts;
  /** First part of launch ids, unique for this run of the gateway. */
  readonly launchPrefix: string;
  readonly version: string;
  /** Absent: the one of production. */
  readonly scheduler?: Scheduler;
}

export class ControlLoop implements FrontGate {
  readonly #ports: ControlPorts;
  readonly #config: ResolvedConfig;
  readonly #scheduler: Scheduler;
  readonly #state: SchedulerState;
  readonly #tickets = new IdMap<Ticket>();
  readonly #fleet: EngineFleet;
  readonly #sizer: ModelSizer;
  readonly #fetches: ModelFetches;
  #sharedDevices: ReadonlySet<DeviceId> = new Set();
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
  readonly #remedies: AnswerRemedies;
  /** By path: the models whose engines answer it without a device. */
  readonly #lightModels: ReadonlyMap<string, ReadonlySet<ModelName>>;
  #deciding = false;
  #nextRequestId = 1;

  constructor(ports: ControlPorts, options: ControlOptions) {
    const { config } = options;
    this.#ports = ports;
    this.#config = config;
    this.#scheduler = options.scheduler ?? createScheduler();
    this.#poison = new PoisonList(ports.clock);
    this.#waiters = new ConditionWaiters(ports.clock);
    this.#lightModels = lightModels(config, ports.engineOf);
    this.#remedies = new AnswerRemedies(ports.clock, ports.log);
    const { engineOf, openEndpoint } = ports;
    this.#external = openExternalEndpoints(config.models.values(), config.server, engineOf, openEndpoint);
    this.#sizer = ports.createSizer((model, need) => this.#send({ kind: 'sized', model, need }));
    const { openFetcher, runtime, log } = ports;
    this.#fetches = new ModelFetches({
      openFetcher,
      runtime,
      config,
      log,
      report: (event) => this.#send(event),
    });
    this.#fleet = new EngineFleet(ports, config, this.#sizer, {
      sourceOf: (model) => this.#fetches.sourceOf(model),
      report: (event) => this.#launchReported(event),
      isKept: (launchId) => this.#state.launches.get(launchId)?.removed === false,
      onForgotten: () => this.#waiters.look(),
    });
    const models = modelPolicies(config, ports.engineOf, (name) => this.#sizer.needOf(name));
    const setup: SchedulerSetup = {
      models,
      devices: null,
      scheduling: schedulingPolicy(config),
      learned: learnedCosts(options.learned, models),
      hostBudgetMib: null,
      launchPrefix: options.launchPrefix,
    };
    const nowMs = ports.clock.nowMs();
    const { state, effects } = this.#scheduler.begin(setup, nowMs);
    this.#state = state;
    ports.recorder?.begin(options.version, new Date(ports.clock.wallMs()), nowMs, setup, effects);
    this.#carryOutAll(effects);
    this.#sizer.start();
  }

  /** For reading only: status, metrics. Nothing that changes anything may be decided from it. */
  get state(): SchedulerState {
    return this.#state;
  }

  requestRefused(name: ModelName, bodyStart: Uint8Array): void {
    const model = this.#config.models.get(name);
    if (model !== undefined) this.#remedies.answered(model, this.#ports.engineOf(model), bodyStart);
  }

  /** What the configuration could do about requests that the model's engine refused; null: nothing. */
  remedyOf(model: ModelName): string | null {
    return this.#remedies.of(model);
  }

  /** Process or container of a launch, for people; null: there is none yet. */
  referenceOf(launchId: LaunchId): string | null {
    return this.#fleet.referenceOf(launchId);
  }

  /** What each model takes, and how that is known. */
  sizes(): readonly SizingReport[] {
    return this.#sizer.report();
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
    // What it takes is read before what nobody waits for.
    if (this.#state.models.get(admission.model)?.need === null) this.#sizer.needOf(admission.model);
    const { model } = admission;
    const patienceMs = admission.queueTimeoutMs ?? null;
    const light = this.#lightModels.get(admission.path)?.has(model) === true;
    this.#send(
      light
        ? { kind: 'arrived', requestId: id, model, patienceMs, light }
        : { kind: 'arrived', requestId: id, model, patienceMs },
    );
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

  handOver(id: RequestId, waiter: Waiter): void {
    const ticket = this.#tickets.get(id);
    if (ticket?.granted === true) ticket.waiter = waiter;
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
   * serve on, the others are stopped. Then the first engines may start, unless the gateway ends. Answers how many serve on.
   * Rejects where the runtime cannot say what there is; then it may be tried again.
   */
  async adopt(devices: readonly Device[], ending: AbortSignal): Promise<number> {
    this.#takeDevices(devices);
    const taken = await this.#fleet.adopt();
    if (ending.aborted) return taken;
    // Only now: before, nothing starts, so that nothing can start on devices that adopted engines hold.
    this.#send({ kind: 'devices_changed', devices: deviceBudgets(devices, new Map()) });
    return taken;
  }

  /** Devices came or went, or foreign programs use more or less of them. Nothing before `adopt` has ended. */
  devicesChanged(devices: readonly Device[], foreignMib: ReadonlyMap<DeviceId, number>): void {
    this.#takeDevices(devices);
    this.#send({ kind: 'devices_changed', devices: deviceBudgets(devices, foreignMib) });
  }

  #takeDevices(devices: readonly Device[]): void {
    this.#fleet.setDevices(devices);
    this.#sizer.devicesChanged(devices);
    this.#sharedDevices = new Set(devices.filter(({ source }) => source === 'host').map(({ id }) => id));
  }

  /** Every reading of the devices: what engines at rest use of them is learned. */
  memoryRead(readings: readonly MemoryReading[], host: HostMemory | null): void {
    for (const use of restingUses(this.#state, readings, host, this.#sharedDevices)) {
      const reservedMib = this.#sizer.measured(use);
      if (reservedMib === null) continue;
      const { launchId, model, usedMib } = use;
      // The margin is for what it may still take; what was reserved before was margin enough where it sufficed.
      const memoryMibPerDevice =
        usedMib <= use.reservedMib ? Math.min(reservedMib, use.reservedMib) : reservedMib;
      if (memoryMibPerDevice === use.reservedMib) continue;
      this.#send({ kind: 'measured', launchId, model, memoryMibPerDevice });
    }
    for (const { launchId, model, usedMib } of sleeperUses(
      this.#state,
      readings,
      this.#sharedDevices,
      this.#ports.clock.nowMs(),
    ))
      this.#send({ kind: 'measured', launchId, model, memoryMibPerDevice: usedMib });
    const event = host === null ? null : hostEvent(this.#state, this.#config.devices, host);
    if (event !== null) this.#send(event);
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
    return this.#waiters.until(() => this.#fleet.size === 0, limitMs);
  }

  /** Releases timers and connections; the engines are as they are. */
  close(): void {
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    this.#sizer.close();
    this.#fetches.close();
    for (const endpoint of this.#external.values()) endpoint.destroy(new Error('the gateway stops'));
  }

  #send(event: SchedulerEvent): void {
    this.#inbox.push(event);
    if (this.#deciding) return;
    this.#deciding = true;
    try {
      for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) {
        const nowMs = this.#ports.clock.nowMs();
        const effects = this.#scheduler.decide(this.#state, next, nowMs);
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
      case 'fetch':
      case 'cancel_fetch':
        this.#fetches.carryOut(effect);
        return;
      case 'start':
      case 'stop':
      case 'sleep':
      case 'wake':
      case 'drain':
      case 'release':
      case 'probe':
        this.#fleet.carryOut(effect);
        return;
      default:
        assertNever(effect, 'effect');
    }
  }

  #dispatch(effect: Extract<Effect, { kind: 'dispatch' }>): void {
    const ticket = this.#tickets.get(effect.requestId);
    const endpoint =
      effect.launchId === null ? this.#external.get(effect.model) : this.#fleet.endpointOf(effect.launchId);
    if (endpoint === undefined || endpoint === null)
      broken(`${effect.model} was dispatched to without an endpoint`);
    if (ticket === undefined) {
      // It left between the event and its effect (C1): give the slot back.
      this.#send({ kind: 'finished', requestId: effect.requestId, broken: false });
      return;
    }
    ticket.granted = true;
    const { requestId, model, launchId, waitedMs, load, queueDepth } = effect;
    ticket.waiter.granted({ requestId, model, launchId, endpoint, waitedMs, load, queueDepth });
  }

  #launchReported(reported: SchedulerEvent): void {
    const event = reported.kind === 'slept' ? believedSleep(this.#state, reported) : reported;
    if (event.kind === 'stopped' && event.verified) this.#fleet.forget(event.launchId);
    if (event.kind === 'slept' && event.ok) this.#sizer.asleepMeasured(event);
    this.#send(event);
    if (event.kind === 'no_room' && !event.asleep) this.#fleet.forget(event.launchId);
    // The verdict is spoken: the request that was suspected need not be kept.
    if (event.kind === 'probed' || event.kind === 'stopped') this.#lastBroken.delete(event.model);
  }

  #blame(requestId: RequestId, model: ModelName): void {
    const lost = this.#lastBroken.get(model);
    const body =
      this.#tickets.get(requestId)?.admission.body ?? (lost?.requestId === requestId ? lost.body : null);
    if (body !== null) this.#poison.blame(model, body);
  }
}
