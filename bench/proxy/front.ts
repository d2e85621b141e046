/**
 * The front and the byte path alone, in a process of their own in front of the stub engine, with metrics on and a gate
 * that always grants: what they cost without scheduler and control loop (`--target front`). Argument: the stub's port. Prints its own port.
 */

import { tmpdir } from 'node:os';
import type { ResolvedModel } from '../../src/config/resolved-config.ts';
import type { Admission, FrontGate, WaitEstimate, Waiter } from '../../src/control/gate.ts';
import { createSystemClock } from '../../src/control/system-clock.ts';
import { createNameResolver } from '../../src/http/names.ts';
import { createFront } from '../../src/http/server.ts';
import { createEndpoint } from '../../src/proxy/endpoint.ts';
import type { Endpoint } from '../../src/proxy/endpoint-types.ts';
import { GatewayMetrics } from '../../src/telemetry/metrics.ts';
import { storelessDesk } from '../../test/fakes/storeless-desk.ts';
import { CONCURRENT_MAX, MODEL } from './workload.ts';

const MIB = 1024 * 1024;
const clock = createSystemClock();

class OpenGate implements FrontGate {
  readonly #endpoint: Endpoint;
  /** By id; ids of ended requests are used again. */
  readonly #running: (Waiter | null)[] = [];
  readonly #free: number[] = [];

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  admit(admission: Admission, waiter: Waiter): number {
    const requestId = this.#free.pop() ?? this.#running.length;
    this.#running[requestId] = waiter;
    const { model } = admission;
    const lease = {
      launchId: null,
      endpoint: this.#endpoint,
      waitedMs: 0,
      load: 'hot',
      queueDepth: 0,
    } as const;
    waiter.granted({ requestId, model, ...lease });
    return requestId;
  }

  leave(): void {}

  finish(id: number): void {
    this.#running[id] = null;
    this.#free.push(id);
  }

  handOver(): void {}

  requestRefused(): void {}

  estimate(): WaitEstimate {
    return { readyInMs: 0, why: '', basis: 'assumed', phase: 'awake', percent: null };
  }

  giveBack(id: number, cause: string, detail: string): void {
    const waiter = this.#running[id];
    this.finish(id);
    waiter?.refused({ code: 'engine_died', parameters: { model: MODEL, cause: `${cause}: ${detail}` } });
  }
}

const endpoint = createEndpoint({
  address: { kind: 'tcp', host: '127.0.0.1', port: Number(process.argv[2]) },
  connectionsMax: CONCURRENT_MAX,
  keepAliveMs: 60_000,
  connectTimeoutMs: 10_000,
  firstByteTimeoutMs: 300_000,
  streamIdleTimeoutMs: 300_000,
  headers: {},
  pathPrefix: '',
});
const metrics = new GatewayMetrics(clock.nowMs, () => []);
const model = {
  name: MODEL,
  servedName: MODEL,
  requestDefaults: {},
  adapters: {},
} as unknown as ResolvedModel;
const gate = new OpenGate(endpoint);
const front = createFront({
  server: {
    bodyLimitBytes: 64 * MIB,
    audioBodyLimitBytes: 512 * MIB,
    bodyMemoryBytes: 2048 * MIB,
    bodySpoolBytes: 2048 * MIB,
    headerLimitBytes: 16 * 1024,
    headersTimeoutMs: 60_000,
    requestTimeoutMs: 300_000,
    keepAliveTimeoutMs: 75_000,
    clientStallTimeoutMs: 60_000,
    corsOrigins: [],
    uploadBytesPerSMin: 256,
    trustedHops: 0,
    queueTimeoutMaxMs: 7_200_000,
  },
  spoolDirectory: tmpdir(),
  gate,
  responses: storelessDesk(gate, clock),
  names: createNameResolver({ models: new Map([[MODEL, model]]), aliases: [], defaultModel: null }),
  keys: null,
  data: {
    models: () => [],
    ready: () => true,
    metricsText: () => metrics.text(),
    status: () => ({ ...endpoint.counters }),
  },
  observer: metrics,
  clock,
  wsIdleTimeoutMs: () => 60_000,
  progressOf: () => ({ progress: 'off', progressAfterMs: 5_000 }),
});
const address = await front.listen('127.0.0.1', 0);
console.log(address.port);
