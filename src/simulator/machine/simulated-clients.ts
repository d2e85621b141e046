/**
 * Clients: each request of the source is admitted when its time has come, served by its engine once granted, and ends
 * exactly once. Memory goes with the requests that are there at one time, not with all that there were.
 */

import type { Gate, Lease, Waiter } from '../../control/gate.ts';
import { assert } from '../../core/assert.ts';
import type { CancelTimer } from '../../core/clock.ts';
import type { RequestEnd, RequestStream, SimulatedRequest } from '../request-source.ts';
import type { RequestTimes } from '../simulation-observer.ts';
import type { MachineLaunch, RequestAtEngine } from './machine-launch.ts';
import type { SimulatedMachine } from './simulated-machine.ts';

const MS_PER_S = 1000;
/** Patient clients wait for whatever comes: no estimate refuses them. */
const PATIENT_MS = 1e12;
const PATH = '/v1/chat/completions';

export interface ClientsOptions {
  readonly machine: SimulatedMachine;
  readonly stream: RequestStream;
  readonly timeScale: number;
  readonly patienceMs: number | null;
  readonly watch: ClientsWatch;
}

export interface ClientsWatch {
  readonly arrived: (times: RequestTimes) => void;
  readonly dispatched: (times: RequestTimes) => void;
  readonly ended: (times: RequestTimes, end: RequestEnd) => void;
  readonly violated: (text: string) => void;
}

export class SimulatedClients {
  readonly #options: ClientsOptions;
  readonly #open = new Set<ClientRequest>();
  #gate: Gate | null = null;
  /** The gateway numbers its requests in the order of their coming. */
  #nextId = 1;
  #hasMore = true;
  /** Requests that an answer has caused and that have not come yet. */
  #coming = 0;
  /** When a request came, was dispatched or ended last. */
  lastChangeMs = 0;
  endMs = 0;

  constructor(options: ClientsOptions) {
    this.#options = options;
  }

  /** Nobody is there any more, and nobody will come. */
  get areDone(): boolean {
    return !this.#hasMore && this.#coming === 0 && this.#open.size === 0;
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** Requests that wait or run. */
  get open(): Iterable<RequestTimes> {
    return this.#open;
  }

  /** A gateway that has numbered no request yet. */
  useGate(gate: Gate): void {
    this.#gate = gate;
    this.#nextId = 1;
  }

  begin(): void {
    this.#awaitNext();
  }

  #awaitNext(): void {
    const { stream, timeScale } = this.#options;
    const request = stream.next();
    if (request === null) {
      this.#hasMore = false;
      return;
    }
    this.#at(request.atMs * timeScale, () => {
      this.#arrive(request);
      this.#awaitNext();
    });
  }

  #at(atMs: number, fire: () => void): CancelTimer {
    return this.#options.machine.clock.setTimer(atMs, fire);
  }

  #arrive(request: SimulatedRequest): void {
    const { machine, watch, patienceMs } = this.#options;
    assert(this.#gate !== null, 'a request came before there was a gateway');
    const nowMs = machine.clock.nowMs();
    this.lastChangeMs = nowMs;
    const client = new ClientRequest(this, this.#options, this.#gate, this.#nextId, request, nowMs);
    this.#nextId += 1;
    this.#open.add(client);
    watch.arrived(client);
    if (patienceMs !== null) client.leaveAt(nowMs + patienceMs);
    const admission = { model: request.model, queueTimeoutMs: PATIENT_MS, path: PATH, body: null };
    const id = this.#gate.admit(admission, client);
    assert(id === client.id, `request ${client.id} got the number ${id}`);
  }

  dispatched(client: ClientRequest): void {
    this.lastChangeMs = this.#options.machine.clock.nowMs();
    this.#options.watch.dispatched(client);
  }

  ended(client: ClientRequest, end: RequestEnd): void {
    const { machine, stream, timeScale, watch } = this.#options;
    const nowMs = machine.clock.nowMs();
    this.lastChangeMs = nowMs;
    this.endMs = nowMs;
    this.#open.delete(client);
    watch.ended(client, end);
    const next = stream.ended?.(client.request, end, nowMs / timeScale) ?? null;
    if (next === null) return;
    this.#coming += 1;
    this.#at(next.atMs * timeScale, () => {
      this.#coming -= 1;
      this.#arrive(next);
    });
  }
}

export class ClientRequest implements Waiter, RequestTimes, RequestAtEngine {
  readonly id: number;
  readonly request: SimulatedRequest;
  readonly arrivedMs: number;
  dispatchedMs: number | null = null;
  readonly #clients: SimulatedClients;
  readonly #options: ClientsOptions;
  readonly #gate: Gate;
  #state: 'waiting' | 'running' | 'over' = 'waiting';
  #launch: MachineLaunch | null = null;
  /** At its engine: when the first byte of its answer comes. */
  #firstByteMs = 0;
  #cancelService: CancelTimer = () => {};
  #cancelPatience: CancelTimer = () => {};

  constructor(
    clients: SimulatedClients,
    options: ClientsOptions,
    gate: Gate,
    id: number,
    request: SimulatedRequest,
    arrivedMs: number,
  ) {
    this.#clients = clients;
    this.#options = options;
    this.#gate = gate;
    this.id = id;
    this.request = request;
    this.arrivedMs = arrivedMs;
  }

  leaveAt(atMs: number): void {
    this.#cancelPatience = this.#options.machine.clock.setTimer(atMs, () => this.leave());
  }

  granted(lease: Lease): void {
    const { machine, watch } = this.#options;
    const { model } = this.request;
    if (this.#state !== 'waiting') {
      watch.violated(`request ${this.id} of ${model} was dispatched while it was ${this.#state}`);
      return;
    }
    const { clock } = machine;
    const nowMs = clock.nowMs();
    this.#state = 'running';
    this.#cancelPatience();
    const { address } = lease.endpoint.options;
    const launch = address.kind === 'url' ? null : machine.launchAt(address);
    if (launch === null || !launch.isAlive) {
      watch.violated(`request ${this.id} of ${model} was sent to an engine that is gone`);
      this.#gate.finish(this.id, 'engine_error');
      this.#end('refused');
      return;
    }
    if (this.dispatchedMs === null) {
      this.dispatchedMs = nowMs;
      this.#clients.dispatched(this);
    }
    this.#launch = launch;
    const { prefillTokensPerS, decodeTokensPerS } = launch.costs;
    this.#firstByteMs = nowMs + (MS_PER_S * this.request.promptTokens) / prefillTokensPerS;
    const endMs = this.#firstByteMs + (MS_PER_S * this.request.outputTokens) / decodeTokensPerS;
    launch.receive(this);
    this.#cancelService = clock.setTimer(endMs, () => this.#answered());
  }

  refused(): void {
    if (this.#state === 'over') {
      this.#options.watch.violated(`request ${this.id} of ${this.request.model} was refused after its end`);
      return;
    }
    this.#end('refused');
  }

  /** Whose client has not seen a byte yet waits for another chance. */
  cut(): void {
    this.#brokenOff('cut', 'cut');
  }

  broke(): void {
    this.#brokenOff('connection_lost', 'engine_error');
  }

  /** Its client goes, whatever has become of it. */
  leave(): void {
    if (this.#state === 'over') return;
    const wasRunning = this.#state === 'running';
    this.#leaveEngine();
    if (wasRunning) this.#gate.finish(this.id, 'client_left');
    else this.#gate.leave(this.id);
    this.#end('left');
  }

  /** Its gateway is dead: the connection to it breaks. */
  lostGateway(): void {
    if (this.#state === 'over') return;
    this.#leaveEngine();
    this.#end('refused');
  }

  #answered(): void {
    this.#leaveEngine();
    this.#gate.finish(this.id, 'answered');
    this.#end('answered');
  }

  #brokenOff(cause: 'cut' | 'connection_lost', outcome: 'cut' | 'engine_error'): void {
    if (this.#state !== 'running') return;
    const hasByte = this.#options.machine.clock.nowMs() >= this.#firstByteMs;
    this.#leaveEngine();
    if (hasByte) {
      this.#gate.finish(this.id, outcome);
      this.#end('refused');
    } else {
      this.#state = 'waiting';
      this.#gate.giveBack(this.id, cause, 'no byte had come');
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
    this.#clients.ended(this, end);
  }
}
