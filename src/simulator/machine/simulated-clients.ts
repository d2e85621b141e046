/**
 * Clients: each request of the source is admitted when its time has come, served by its engine once granted, and ends
 * exactly once. Memory goes with the requests that are there at one time, not with all that there were.
 */
import type { Gate } from '../../control/gate.ts';
import { assert } from '../../core/assert.ts';
import type { RequestEnd, RequestStream, SimulatedRequest } from '../request-source.ts';
import type { RequestTimes } from '../simulation-observer.ts';
import { type ClientDesk, type ClientHabit, ClientRequest } from './client-request.ts';
import type { SimulatedMachine } from './simulated-machine.ts';

/** Patient clients wait for whatever comes: no estimate refuses them. */
const PATIENT_MS = 1e12;
const PATH = '/v1/chat/completions';

export interface ClientsOptions {
  readonly machine: SimulatedMachine;
  readonly stream: RequestStream;
  readonly timeScale: number;
  readonly habitOf: (request: SimulatedRequest) => ClientHabit;
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
  readonly #desk: ClientDesk;
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
    const { machine, watch } = options;
    this.#desk = {
      machine,
      dispatched: (client) => {
        this.lastChangeMs = machine.clock.nowMs();
        watch.dispatched(client);
      },
      ended: (client, end) => this.#ended(client, end),
      violated: watch.violated,
    };
  }

  /** Nobody is there any more, and nobody will come. */
  get areDone(): boolean {
    return !this.#hasMore && this.#coming === 0 && this.#open.size === 0;
  }

  /** Requests that wait or run. */
  get open(): ReadonlySet<ClientRequest> {
    return this.#open;
  }

  /** A gateway that has numbered no request yet. Null: it died, and until there is another one nobody listens. */
  useGate(gate: Gate | null): void {
    this.#gate = gate;
    this.#nextId = 1;
    if (gate === null) for (const client of [...this.#open]) client.lostGateway();
  }

  begin(): void {
    this.#awaitNext();
  }

  arrive(request: SimulatedRequest): void {
    const { habitOf, watch } = this.#options;
    const client = new ClientRequest(this.#desk, this.#nextId, request, habitOf(request));
    this.lastChangeMs = client.arrivedMs;
    this.#open.add(client);
    watch.arrived(client);
    const id = client.come(this.#gate, PATIENT_MS, PATH);
    if (id === null) return;
    assert(id === client.id, `request ${client.id} got the number ${id}`);
    this.#nextId += 1;
  }

  #awaitNext(): void {
    const { stream, timeScale } = this.#options;
    const request = stream.next();
    if (request === null) {
      this.#hasMore = false;
      return;
    }
    this.#at(request.atMs * timeScale, () => {
      this.arrive(request);
      this.#awaitNext();
    });
  }

  #at(atMs: number, fire: () => void): void {
    this.#options.machine.clock.setTimer(atMs, fire);
  }

  #ended(client: ClientRequest, end: RequestEnd): void {
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
      this.arrive(next);
    });
  }
}
