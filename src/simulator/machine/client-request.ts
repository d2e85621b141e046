/** One request of a client, from its arrival to its one end. */
import type { Gate, Lease, Waiter } from '../../control/gate.ts';
import type { CancelTimer } from '../../core/clock.ts';
import type { ExitStatus } from '../../engines/engine.ts';
import type { RequestEnd, SimulatedRequest } from '../request-source.ts';
import type { RequestTimes } from '../simulation-observer.ts';
import type { MachineLaunch, RequestAtEngine } from './machine-launch.ts';
import type { SimulatedMachine } from './simulated-machine.ts';

const MS_PER_S = 1000;
const POISONED: ExitStatus = { code: null, signal: 'SIGSEGV' };

/** How a client behaves beyond what its request says. */
export interface ClientHabit {
  /** It leaves after waiting for so long; null: it is patient. */
  readonly patienceMs: number | null;
  /** It leaves so long after it came, also in the middle of its answer; null: it stays. */
  readonly leavesAfterMs: number | null;
  /** Its answer takes so many times what the world says. */
  readonly slowness: number;
  readonly body: Uint8Array | null;
  /** Its engine dies so long after it came there; null: it is no poison. */
  readonly poisonMs: number | null;
}

export const PATIENT_CLIENT: ClientHabit = {
  patienceMs: null,
  leavesAfterMs: null,
  slowness: 1,
  body: null,
  poisonMs: null,
};

export interface ClientDesk {
  readonly machine: SimulatedMachine;
  readonly dispatched: (client: ClientRequest) => void;
  readonly ended: (client: ClientRequest, end: RequestEnd) => void;
  readonly violated: (text: string) => void;
}

export class ClientRequest implements Waiter, RequestTimes, RequestAtEngine {
  readonly id: number;
  readonly request: SimulatedRequest;
  readonly arrivedMs: number;
  dispatchedMs: number | null = null;
  readonly #desk: ClientDesk;
  readonly #habit: ClientHabit;
  #gate: Gate | null = null;
  #state: 'waiting' | 'running' | 'over' = 'waiting';
  #launch: MachineLaunch | null = null;
  /** At its engine: when the first byte of its answer comes. */
  #firstByteMs = 0;
  #cancelService: CancelTimer = () => {};
  #cancelPatience: CancelTimer = () => {};
  #cancelLeaving: CancelTimer = () => {};

  constructor(desk: ClientDesk, id: number, request: SimulatedRequest, habit: ClientHabit) {
    this.#desk = desk;
    this.#habit = habit;
    this.id = id;
    this.request = request;
    this.arrivedMs = desk.machine.clock.nowMs();
  }

  /** Null: nobody listens. Answers the number that the gateway gave it. */
  come(gate: Gate | null, queueTimeoutMs: number, path: string): number | null {
    const { patienceMs, leavesAfterMs, body } = this.#habit;
    if (gate === null) {
      this.#end('refused');
      return null;
    }
    this.#gate = gate;
    if (patienceMs !== null) this.#cancelPatience = this.#in(patienceMs, () => this.leave());
    if (leavesAfterMs !== null) this.#cancelLeaving = this.#in(leavesAfterMs, () => this.leave());
    return gate.admit({ model: this.request.model, queueTimeoutMs, path, body }, this);
  }

  granted(lease: Lease): void {
    const { machine, violated } = this.#desk;
    const { model, promptTokens, outputTokens } = this.request;
    if (this.#state !== 'waiting') {
      violated(`request ${this.id} of ${model} was dispatched while it was ${this.#state}`);
      return;
    }
    const nowMs = machine.clock.nowMs();
    this.#state = 'running';
    this.#cancelPatience();
    if (this.dispatchedMs === null) {
      this.dispatchedMs = nowMs;
      this.#desk.dispatched(this);
    }
    const { address } = lease.endpoint.options;
    const launch = address.kind === 'url' ? null : machine.launchAt(address);
    if (launch === null) {
      this.#state = 'waiting';
      this.#gate?.giveBack(this.id, 'not_sent', 'the connection is refused');
      return;
    }
    this.#launch = launch;
    const { prefillTokensPerS, decodeTokensPerS } = launch.costs;
    const { slowness, poisonMs } = this.#habit;
    const prefillMs = (MS_PER_S * promptTokens) / prefillTokensPerS;
    const decodeMs = (MS_PER_S * outputTokens) / decodeTokensPerS;
    this.#firstByteMs = nowMs + slowness * prefillMs;
    this.#cancelService = this.#in(slowness * (prefillMs + decodeMs), () => this.#answered());
    launch.receive(this);
    if (poisonMs !== null) this.#in(poisonMs, () => this.#poison(launch));
  }

  refused(): void {
    const { violated } = this.#desk;
    if (this.#state !== 'waiting')
      violated(`request ${this.id} of ${this.request.model} was refused while it was ${this.#state}`);
    else this.#end('refused');
  }

  /** Whose client has not seen a byte yet waits for another chance. */
  cut(): void {
    this.#brokenOff('cut', 'cut');
  }

  broke(): void {
    this.#brokenOff('connection_lost', 'engine_error');
  }

  stall(silenceMs: number): void {
    this.#cancelService();
    this.#cancelService = this.#in(silenceMs, () => this.broke());
  }

  /** Its client goes, whatever has become of it. */
  leave(): void {
    if (this.#state === 'over') return;
    const wasRunning = this.#state === 'running';
    this.#leaveEngine();
    if (wasRunning) this.#gate?.finish(this.id, 'client_left');
    else this.#gate?.leave(this.id);
    this.#end('left');
  }

  /** Its gateway is dead: the connection to it breaks. */
  lostGateway(): void {
    if (this.#state === 'over') return;
    this.#leaveEngine();
    this.#end('refused');
  }

  #in(ms: number, fire: () => void): CancelTimer {
    const { clock } = this.#desk.machine;
    return clock.setTimer(clock.nowMs() + ms, fire);
  }

  #poison(launch: MachineLaunch): void {
    if (this.#launch === launch) launch.exit(POISONED);
  }

  #answered(): void {
    this.#leaveEngine();
    this.#gate?.finish(this.id, 'answered');
    this.#end('answered');
  }

  #brokenOff(cause: 'cut' | 'connection_lost', outcome: 'cut' | 'engine_error'): void {
    if (this.#state !== 'running') return;
    const hasByte = this.#desk.machine.clock.nowMs() >= this.#firstByteMs;
    this.#leaveEngine();
    if (hasByte) {
      this.#gate?.finish(this.id, outcome);
      this.#end('refused');
    } else {
      this.#state = 'waiting';
      this.#gate?.giveBack(this.id, cause, 'no byte had come');
    }
  }

  #leaveEngine(): void {
    this.#cancelService();
    this.#launch?.running.delete(this);
    this.#launch = null;
  }

  #end(end: RequestEnd): void {
    this.#state = 'over';
    this.#cancelPatience();
    this.#cancelLeaving();
    this.#desk.ended(this, end);
  }
}
