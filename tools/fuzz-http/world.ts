/** The gateway's front as it serves, with gate and engine of our own in the same process, and its books. */

import { tmpdir } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { ResolvedModel } from '../../src/config/resolved-config.ts';
import { createSystemClock } from '../../src/control/system-clock.ts';
import { createNameResolver } from '../../src/http/names.ts';
import { createFront, type Front } from '../../src/http/server.ts';
import type { Endpoint } from '../../src/proxy/endpoint-types.ts';
import { FakeGate } from '../../test/fakes/fake-gate.ts';
import { storelessDesk } from '../../test/fakes/storeless-desk.ts';
import { endpointOnPort } from '../../test/fakes/test-endpoint.ts';
import { EchoEngine } from './echo-engine.ts';
import type { Ledger } from './ledger.ts';
import { MODEL } from './valid-request.ts';

const MIB = 1024 * 1024;
const CARD = { id: MODEL, createdS: 1, ownedBy: 'x', state: 'awake', contextLength: null, parent: null };
const SLOTS = 64;
/** Everything that a client left behind is over by then. */
const REST_LIMIT_MS = 20_000;
const REST_LOOK_MS = 10;

/** Small limits, so that the scripts meet them. */
const SERVER = {
  bodyLimitBytes: 2 * MIB,
  audioBodyLimitBytes: 4 * MIB,
  bodyMemoryBytes: 256 * MIB,
  bodySpoolBytes: 256 * MIB,
  headerLimitBytes: 16 * 1024,
  headersTimeoutMs: 60_000,
  requestTimeoutMs: 60_000,
  keepAliveTimeoutMs: 75_000,
  clientStallTimeoutMs: 60_000,
  corsOrigins: [],
  uploadBytesPerSMin: 256,
  trustedHops: 0,
  queueTimeoutMaxMs: 60_000,
} as const;

const clock = createSystemClock();

export interface World {
  readonly port: number;
  readonly engine: EchoEngine;
  readonly ended: () => number;
  /** Null: everything is back to zero; otherwise what is not, after waiting for it. */
  atRest(): Promise<string | null>;
  close(): Promise<void>;
}

export async function startWorld(ledger: Ledger): Promise<World> {
  const engine = new EchoEngine(ledger);
  const endpoint = endpointOnPort(await engine.listen(), {
    connectionsMax: SLOTS + 4,
    connectTimeoutMs: 10_000,
  });
  const gate = new FakeGate();
  gate.recording = false;
  gate.add(MODEL, endpoint, SLOTS, 100_000);
  let ended = 0;
  const front = createFront({
    server: SERVER,
    spoolDirectory: tmpdir(),
    gate,
    responses: storelessDesk(gate, clock),
    names: createNameResolver({
      // The front reads these fields of a model and no other.
      models: new Map([
        [
          MODEL,
          { name: MODEL, servedName: MODEL, requestDefaults: {}, adapters: {} } as unknown as ResolvedModel,
        ],
      ]),
      aliases: [],
      defaultModel: null,
    }),
    keys: null,
    data: {
      models: () => [CARD],
      ready: () => true,
      metricsText: () => Promise.resolve('up 1\n'),
      status: () => ({}),
    },
    observer: {
      requestEnded() {
        ended += 1;
      },
    },
    clock,
    wsIdleTimeoutMs: () => 60_000,
    progressOf: () => ({ progress: 'off', progressAfterMs: 5_000 }),
  });
  const { port } = await front.listen('127.0.0.1', 0);
  const parts: Parts = { front, gate, engine, endpoint };
  return {
    port,
    engine,
    ended: () => ended,
    atRest: () => atRest(parts),
    async close() {
      await front.close();
      endpoint.destroy(new Error('over'));
      engine.close();
    },
  };
}

interface Parts {
  readonly front: Front;
  readonly gate: FakeGate;
  readonly engine: EchoEngine;
  readonly endpoint: Endpoint;
}

async function atRest({ front, gate, engine }: Parts): Promise<string | null> {
  const deadlineMs = performance.now() + REST_LIMIT_MS;
  for (;;) {
    const counts: readonly (readonly [string, number])[] = [
      ['active requests', front.activeRequests],
      ['client connections', front.openConnections],
      ['bytes of bodies', front.heldBodyBytes],
      ['leases', gate.runningCount],
      ['waiting requests', gate.waitingCount],
      ['connections to the engine beyond its slots', Math.max(0, engine.openConnections - SLOTS - 4)],
    ];
    const left = counts.filter(([, count]) => count !== 0);
    if (left.length === 0) return null;
    if (performance.now() > deadlineMs)
      return left.map(([what, count]) => `${count} ${what} left`).join(', ');
    await pause(REST_LOOK_MS);
  }
}

let collect: (() => void) | null = null;

/** Bytes that are in use after a full collection. */
export function usedBytes(): number {
  if (collect === null) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
