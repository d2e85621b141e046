/** A front with a fake gate and a fake engine behind it, on free ports, for one test. */

import { tmpdir } from 'node:os';
import type { TestContext } from 'node:test';
import type { StaticKeys } from '../../src/access/static-keys.ts';
import type { ResolvedAlias, ResolvedModel } from '../../src/config/resolved-config.ts';
import { BackgroundResponses, type EndedBackground } from '../../src/control/background-responses.ts';
import type { StandingEngine } from '../../src/control/standing-engine.ts';
import { createSystemClock } from '../../src/control/system-clock.ts';
import type { Clock } from '../../src/core/clock.ts';
import { POOL_SPARE_CONNECTIONS } from '../../src/core/limits.ts';
import type { FrontOptions } from '../../src/http/front-context.ts';
import { createNameResolver } from '../../src/http/names.ts';
import type { FrontData } from '../../src/http/own-routes.ts';
import type { ProgressSettings } from '../../src/http/progress-answer.ts';
import type { RequestEnd } from '../../src/http/request-observer.ts';
import { ResponseDesk } from '../../src/http/response-desk.ts';
import { ResponseOwners } from '../../src/http/response-owners.ts';
import { createFront, type Front } from '../../src/http/server.ts';
import type { Endpoint, EndpointOptions } from '../../src/proxy/endpoint-types.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';
import { FakeGate, type FakeModel } from '../fakes/fake-gate.ts';
import { endpointOnPort } from '../fakes/test-endpoint.ts';
import { RawClient } from './raw-client.ts';

const realClock = createSystemClock();

export interface FixtureOptions {
  readonly server?: Partial<FrontOptions['server']>;
  readonly endpoint?: Partial<EndpointOptions>;
  readonly slots?: number;
  readonly queueSize?: number;
  readonly keys?: StaticKeys;
  readonly servedName?: string;
  readonly requestDefaults?: Readonly<Record<string, unknown>>;
  readonly adapters?: Readonly<Record<string, string>>;
  readonly aliases?: readonly ResolvedAlias[];
  readonly defaultModel?: string;
  readonly wsIdleTimeoutMs?: number;
  /** Serves in place of the fake engine. */
  readonly enginePort?: number;
  readonly tlsLookMs?: number;
  /** Time runs so many times faster for what the front measures; timers run as ever. */
  readonly clockSpeed?: number;
  /** As of `responses_store`. */
  readonly responsesStore?: boolean;
  readonly backgroundTimeoutMs?: number;
  readonly clock?: Clock;
  readonly progress?: Partial<ProgressSettings>;
  readonly spoolDirectory?: string;
}

export interface Fixture {
  readonly front: Front;
  readonly port: number;
  readonly gate: FakeGate;
  readonly model: FakeModel;
  readonly engine: FakeEngine;
  readonly endpoint: Endpoint;
  readonly background: BackgroundResponses;
  readonly backgroundEnds: EndedBackground[];
  /** What the front is told of the model's engine. */
  engineState: StandingEngine['state'] | 'gone';
  /** Copies of what the observer was told. */
  readonly ends: RequestEnd[];
  /** What the operator was told. */
  readonly notices: string[];
  client(): Promise<RawClient>;
  /** Waits for this many ended requests. */
  ended(count: number): Promise<readonly RequestEnd[]>;
}

export const MODEL = 'm1';

/** Everything is ended with the test, and no exchange and no lease may be left. */
/** What the gateway's own routes show. */
const DATA: FrontData = {
  models: () => [
    {
      id: MODEL,
      createdS: 1,
      ownedBy: 'vllm-gateway',
      parent: null,
      state: 'awake',
      contextLength: 4096,
    },
  ],
  ready: () => true,
  metricsText: () => Promise.resolve('up 1\n'),
  status: () => ({ queue_status: {} }),
};

export async function startFixture(context: TestContext, options: FixtureOptions = {}): Promise<Fixture> {
  const slots = options.slots ?? 8;
  const engine = new FakeEngine();
  const enginePort = await engine.listen();
  const endpoint = endpointFor(options.enginePort ?? enginePort, slots, options.endpoint);
  const gate = new FakeGate();
  const model = gate.add(MODEL, endpoint, slots, options.queueSize);
  const ends: RequestEnd[] = [];
  const notices: string[] = [];
  const waiters = new Set<() => void>();
  const backgroundEnds: EndedBackground[] = [];
  const ended = (end: EndedBackground) => void backgroundEnds.push(end);
  const background = new BackgroundResponses({ gate, clock: realClock, log: () => {}, ended });
  const models = new Map([[MODEL, resolvedModel(options)]]);
  const standing = (): StandingEngine | null =>
    fixture.engineState === 'gone' ? null : { launchId: model.launchId, state: fixture.engineState };
  const front = createFront({
    server: { ...serverDefaults, ...options.server },
    spoolDirectory: options.spoolDirectory ?? tmpdir(),
    gate,
    names: createNameResolver({
      models,
      aliases: options.aliases ?? [],
      defaultModel: options.defaultModel ?? null,
    }),
    responses: new ResponseDesk({ models, owners: new ResponseOwners(standing), background, gate }),
    keys: options.keys ?? null,
    data: DATA,
    observer: {
      requestEnded(end) {
        ends.push(copyOf(end));
        for (const waiter of [...waiters]) waiter();
      },
    },
    wsIdleTimeoutMs: () => options.wsIdleTimeoutMs ?? 60_000,
    clock: options.clock ?? { ...realClock, nowMs: () => performance.now() * (options.clockSpeed ?? 1) },
    notice: (_level, text) => void notices.push(text),
    ...(options.tlsLookMs === undefined ? {} : { tlsLookMs: options.tlsLookMs }),
    progressOf: () => ({ progress: 'off', progressAfterMs: 5_000, ...options.progress }),
  });
  const { port } = await front.listen('127.0.0.1', 0);
  const clients: RawClient[] = [];
  context.after(async () => {
    for (const client of clients) client.close();
    await front.close();
    endpoint.destroy(new Error('the test is over'));
    await engine.die();
  });
  const fixture: Fixture = {
    front,
    port,
    gate,
    model,
    engine,
    endpoint,
    background,
    backgroundEnds,
    engineState: 'open',
    ends,
    notices,
    async client() {
      const client = await RawClient.open(port);
      clients.push(client);
      return client;
    },
    async ended(count) {
      while (ends.length < count) await new Promise<void>((resolve) => waiters.add(resolve));
      return ends;
    },
  };
  return fixture;
}

export function endpointFor(port: number, slots: number, options: Partial<EndpointOptions> = {}): Endpoint {
  return endpointOnPort(port, { connectionsMax: slots + POOL_SPARE_CONNECTIONS, ...options });
}

const MIB = 1024 * 1024;

const serverDefaults: FrontOptions['server'] = {
  bodyLimitBytes: 2 * MIB,
  audioBodyLimitBytes: 4 * MIB,
  bodyMemoryBytes: 64 * MIB,
  bodySpoolBytes: 256 * MIB,
  headerLimitBytes: 16 * 1024,
  headersTimeoutMs: 20_000,
  requestTimeoutMs: 30_000,
  keepAliveTimeoutMs: 75_000,
  clientStallTimeoutMs: 20_000,
  corsOrigins: [],
  uploadBytesPerSMin: 256,
  trustedHops: 0,
  queueTimeoutMaxMs: 7_200_000,
};

function resolvedModel(options: FixtureOptions): ResolvedModel {
  const known = {
    name: MODEL,
    servedName: options.servedName ?? MODEL,
    requestDefaults: options.requestDefaults ?? {},
    adapters: options.adapters ?? {},
    url: null,
    responsesStore: options.responsesStore ?? false,
    backgroundTimeoutMs: options.backgroundTimeoutMs ?? 60_000,
  };
  // The front reads these fields of a model and no other.
  return known as unknown as ResolvedModel;
}

/** The object of an ended request is valid during the call only. */
function copyOf(end: RequestEnd): RequestEnd {
  const { clientRequestId, method, target, label, principal, model, outcome, status, code, load, streamed } =
    end;
  const { clientAddress, waitMs, ttfbMs, durationMs, requestBytes, responseBytes, attempts, streamErrors } =
    end;
  const what = {
    clientRequestId,
    method,
    target,
    label,
    principal,
    model,
    outcome,
    status,
    code,
    load,
    streamed,
  };
  return {
    ...what,
    clientAddress,
    waitMs,
    ttfbMs,
    durationMs,
    requestBytes,
    responseBytes,
    attempts,
    streamErrors,
  };
}
