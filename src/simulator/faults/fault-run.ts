/**
 * One seed: the real control loop in a world that lies. First a safety phase, in which faults of all kinds happen and no rule
 * may be broken; then a liveness phase, in which nothing goes wrong any more: whoever waits must be served or refused, every
 * model must answer again, and when the gateway ends nothing of its engines may be left. One seed gives one run.
 */

import type { ResolvedConfig } from '../../config/resolved-config.ts';
import { DEATH_WINDOW_MS } from '../../core/limits.ts';
import { createPrng, type Prng } from '../../core/prng.ts';
import { VirtualClock } from '../../core/virtual-clock.ts';
import { createScheduler, type Scheduler } from '../../scheduler/scheduler.ts';
import type { Checker } from '../checkers/checker.ts';
import { everyChecker } from '../checkers/every-checker.ts';
import { PATIENT_CLIENT } from '../machine/client-request.ts';
import { worldDevices } from '../machine/machine-config.ts';
import { settleMachine, stepMachine } from '../machine/machine-steps.ts';
import { worldFates } from '../machine/move-fate.ts';
import { SimulatedClients } from '../machine/simulated-clients.ts';
import { SimulatedMachine } from '../machine/simulated-machine.ts';
import { MeasuredScheduler } from '../measured-scheduler.ts';
import { ObserverFan } from '../observer-fan.ts';
import type { RequestEnd, RequestStream } from '../request-source.ts';
import type { RequestTimes } from '../simulation-observer.ts';
import { EventTail } from './event-tail.ts';
import { drawFault, type Fault, type FaultKind } from './fault.ts';
import { faultConfig } from './fault-config.ts';
import { FaultInjector, faultText } from './fault-injector.ts';
import { drawPlan, drawRequest, type FaultPlan } from './fault-plan.ts';
import { FaultyGateway } from './faulty-gateway.ts';
import { FaultyWorld } from './faulty-world.ts';

const FAULTS_MIN = 24;
const FAULT_GAP_MS = 16_000;
/** A seed whose faults find nothing to happen to goes on without them. */
const SAFETY_MAX_MS = 30 * 60_000;
/** Within this everybody who waited must have ended. */
const DRAIN_LIMIT_MS = 60 * 60_000;
/** After this no failure of the safety phase counts any more. */
const FORGIVEN_MS = DEATH_WINDOW_MS + 60_000;
/** After this an engine that was found to hang is back. */
const REPLACED_MS = 2 * 60_000;
const ENGINES_GONE_LIMIT_MS = 10 * 60_000;

export interface FaultRunOptions {
  readonly seed: number;
  /** Absent: the one of production. */
  readonly scheduler?: Scheduler;
}

export interface FaultOutcome {
  readonly seed: number;
  readonly faults: ReadonlyMap<FaultKind, number>;
  readonly decisions: number;
  /** Of everything that happened: two runs of one seed have the same. */
  readonly events: number;
  /** What must not have happened; empty: all went well. */
  readonly violations: readonly string[];
  /** The last events before the first violation, and what was done to the world. */
  readonly tail: readonly string[];
}

export async function runFaults(options: FaultRunOptions): Promise<FaultOutcome> {
  const plan = drawPlan(options.seed);
  return new FaultRun(options, plan, await faultConfig(plan)).run();
}

class FaultRun {
  readonly #seed: number;
  readonly #plan: FaultPlan;
  readonly #config: ResolvedConfig;
  readonly #clock = new VirtualClock();
  readonly #fan: ObserverFan;
  readonly #tail: EventTail;
  readonly #machine: SimulatedMachine;
  readonly #clients: SimulatedClients;
  readonly #world: FaultyWorld;
  readonly #injector: FaultInjector;
  readonly #checkers: readonly Checker[];
  readonly #scheduler: MeasuredScheduler;
  readonly #faultPrng: Prng;
  readonly #requestPrng: Prng;
  readonly #faults = new Map<FaultKind, number>();
  readonly #violations: string[] = [];
  #tailAtViolation: readonly string[] = [];
  #phase: 'safety' | 'liveness' = 'safety';
  #gateway: FaultyGateway | null = null;
  #gatewayCount = 0;
  #faultCount = 0;
  /** In the last round every request must be answered. */
  #lastRound: Map<RequestTimes, RequestEnd | null> | null = null;

  constructor(
    { seed, scheduler = createScheduler() }: FaultRunOptions,
    plan: FaultPlan,
    config: ResolvedConfig,
  ) {
    this.#seed = seed;
    this.#plan = plan;
    this.#config = config;
    const drawn = createPrng(seed ^ 0x5eed);
    this.#faultPrng = createPrng(drawn.integer(2 ** 32));
    this.#requestPrng = createPrng(drawn.integer(2 ** 32));
    const { world, costs } = plan;
    const clock = this.#clock;
    const devices = worldDevices(world);
    this.#tail = new EventTail(clock);
    this.#fan = new ObserverFan(clock, [this.#tail, this]);
    const { moved, violated } = this.#fan;
    this.#world = new FaultyWorld(createPrng(drawn.integer(2 ** 32)), devices, (fault) =>
      this.#applied(fault),
    );
    this.#world.latencyMaxMs = plan.latencyMaxMs;
    this.#machine = new SimulatedMachine({
      world,
      costs,
      clock,
      fateOf: this.#world.fates(() => this.#machine, worldFates(seed)),
      checksBudget: false,
      moved,
      violated,
    });
    this.#checkers = everyChecker({
      report: violated,
      living: () => this.#machine.launchIds,
      isVoid: () => this.#phase === 'safety',
    });
    this.#fan.add(this.#checkers);
    this.#scheduler = new MeasuredScheduler(scheduler, this.#fan.observers);
    this.#clients = new SimulatedClients({
      machine: this.#machine,
      stream: this.#stream(),
      timeScale: 1,
      habitOf: () => (this.#phase === 'safety' ? this.#injector.takeHabit() : PATIENT_CLIENT),
      watch: this.#fan,
    });
    this.#injector = new FaultInjector({
      clock,
      machine: this.#machine,
      world: this.#world,
      clients: this.#clients,
      gateway: () => this.#gateway,
      replaceGateway: (downMs) => this.#replaceGateway(downMs),
      applied: (fault) => this.#applied(fault),
    });
  }

  async run(): Promise<FaultOutcome> {
    this.#openGateway();
    this.#clients.begin();
    this.#nextFault();
    await this.#until(() => this.#phase === 'liveness', SAFETY_MAX_MS);
    this.#endFaults();
    await this.#drain();
    if (this.#isSound) await this.#everyModelAnswers();
    if (this.#isSound) await this.#end();
    this.#gateway?.kill();
    return {
      seed: this.#seed,
      faults: this.#faults,
      decisions: this.#scheduler.decisions,
      events: this.#tail.count,
      violations: this.#violations,
      tail: this.#tailAtViolation,
    };
  }

  violated(text: string, nowMs: number): void {
    if (this.#violations.length === 0) this.#tailAtViolation = this.#tail.lines();
    this.#violations.push(`at ${(nowMs / 1000).toFixed(3)} s: ${text}`);
  }

  ended(times: RequestTimes, end: RequestEnd): void {
    this.#lastRound?.set(times, end);
  }

  get #isSound(): boolean {
    return this.#violations.length === 0;
  }

  /** Until `done`, a violation, or the limit. */
  async #until(done: () => boolean, limitMs: number): Promise<void> {
    const endMs = this.#clock.nowMs() + limitMs;
    const isOver = (): boolean => done() || !this.#isSound;
    await settleMachine(this.#machine);
    while (!isOver() && (await stepMachine(this.#machine, isOver, () => endMs))) this.#lookAtFailure();
    this.#lookAtFailure();
  }

  #lookAtFailure(): void {
    const { failure } = this.#scheduler;
    if (failure === null || !this.#isSound) return;
    this.#fan.violated(failure.error instanceof Error ? (failure.error.stack ?? '') : String(failure.error));
  }

  #stream(): RequestStream {
    return {
      next: () => {
        if (this.#phase === 'liveness') return null;
        const gapMs = -Math.log(1 - this.#requestPrng.next()) * this.#plan.requestGapMs;
        return drawRequest(this.#requestPrng, this.#plan, this.#clock.nowMs() + gapMs);
      },
      close: () => {},
    };
  }

  #nextFault(): void {
    const gapMs = -Math.log(1 - this.#faultPrng.next()) * FAULT_GAP_MS;
    this.#clock.setTimer(this.#clock.nowMs() + gapMs, () => {
      if (this.#phase !== 'safety') return;
      const fault = drawFault(this.#faultPrng);
      if (this.#injector.inject(fault)) this.#tail.note(`FAULT ${faultText(fault)}`);
      if (this.#faultCount >= FAULTS_MIN) this.#phase = 'liveness';
      else this.#nextFault();
    });
  }

  #applied({ kind }: Fault): void {
    this.#faultCount += 1;
    this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + 1);
  }

  #openGateway(): void {
    this.#gatewayCount += 1;
    this.#gateway = new FaultyGateway({
      machine: this.#machine,
      world: this.#world,
      config: this.#config,
      costs: this.#plan.costs,
      scheduler: this.#scheduler,
      prefix: `g${this.#gatewayCount}`,
    });
    this.#clients.useGate(this.#gateway.control);
  }

  #replaceGateway(downMs: number): void {
    this.#gateway?.kill();
    this.#gateway = null;
    this.#clients.useGate(null);
    this.#clock.setTimer(this.#clock.nowMs() + downMs, () => this.#openGateway());
  }

  #endFaults(): void {
    this.#phase = 'liveness';
    this.#tail.note('FAULTS END');
    this.#injector.end();
  }

  async #drain(): Promise<void> {
    await this.#until(() => this.#clients.areDone && this.#gateway?.isAdopting === false, DRAIN_LIMIT_MS);
    const { size } = this.#clients.open;
    if (this.#isSound && size > 0) this.#fan.violated(`${size} requests have not ended since the faults did`);
  }

  /** Twice: first one after the other, so that engines are found that hang since nobody asked them; then all at once. */
  async #everyModelAnswers(): Promise<void> {
    await this.#until(() => false, FORGIVEN_MS);
    for (const model of this.#plan.models) {
      this.#ask(model);
      await this.#until(() => this.#clients.areDone, DRAIN_LIMIT_MS);
    }
    await this.#until(() => false, REPLACED_MS);
    if (!this.#isSound) return;
    this.#lastRound = new Map();
    for (const model of this.#plan.models) this.#ask(model);
    await this.#until(() => this.#clients.areDone, DRAIN_LIMIT_MS);
    for (const { request } of this.#clients.open)
      this.#fan.violated(`${request.model} does not answer any more`);
    for (const [{ request }, end] of this.#lastRound ?? [])
      if (end !== 'answered') this.#fan.violated(`${request.model} does not answer any more: ${end}`);
  }

  #ask(model: string): void {
    this.#clients.arrive({ atMs: this.#clock.nowMs(), model, promptTokens: 100, outputTokens: 100 });
  }

  /** Whatever runs is ended, and nothing of it is left. */
  async #end(): Promise<void> {
    this.#machine.touch();
    this.#gateway?.control.shutdown('drain', false);
    this.#gateway?.control.shutdown('stop', false);
    const isEmpty = (): boolean => [...this.#machine.launchIds].length === 0;
    await this.#until(isEmpty, ENGINES_GONE_LIMIT_MS);
    for (const launchId of this.#machine.launchIds)
      this.#fan.violated(`${launchId} runs after the end of its gateway`);
    for (const checker of this.#checkers) checker.finish?.();
  }
}
