/**
 * The connections to one engine, kept in a stack so that the warmest is used first and idle ones age out.
 *
 * 1. A connection carries one request at a time, and a request waits for nothing but its connection being opened: it
 *    can be taken back at any moment.
 * 2. Never more than `connectionsMax` exist. Whoever sends under a lease finds one: a lease ends when its answer is
 *    complete or given up, and by then its connection is free or gone.
 * 3. An engine ends idle connections together, and the request that finds out is sent again only once: when one was
 *    ended before its use, all idle ones end, so that the next request goes out on a new one.
 * 4. One coarse timer watches all connections: for answers that begin too late or stop, for connecting too long, for being idle too long.
 */
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { assert } from '../core/assert.ts';
import { UPGRADED_CONNECTIONS_MAX } from '../core/limits.ts';
import { Connection, type ConnectionOwner, type OnRead } from './connection.ts';
import type {
  AnswerHandler,
  Endpoint,
  EndpointCounters,
  EndpointOptions,
  Transmission,
  UpgradeHandler,
  UpstreamRequest,
} from './endpoint-types.ts';
import { Upgrade, type UpgradeOwner } from './upgrade.ts';

/** Subtracted from a server's own `Keep-Alive: timeout=`, for the time a request is under way to it. */
const KEEP_ALIVE_MARGIN_MS = 1_000;
/** The shortest timeout is watched this finely, so that it fires at most an eighth late. */
const TICKS_PER_TIMEOUT = 8;
const TICK_MS_MIN = 10;
const TICK_MS_MAX = 1_000;
const HEADER_TEXT = /^[\t -~\x80-\xff]*$/;

/** Opens no connection before the first request. Throws for headers that HTTP cannot carry. */
export function createEndpoint(options: EndpointOptions): Endpoint {
  return new EnginePool(options);
}

class EnginePool implements Endpoint, ConnectionOwner, UpgradeOwner {
  readonly options: EndpointOptions;
  readonly counters: EndpointCounters = { connectionsCreated: 0, requestsSent: 0, poolWaits: 0 };
  readonly hostHeader: string;
  readonly connectedEvent: 'connect' | 'secureConnect';
  tick = 0;
  muteTicks = 0;
  readonly #url: URL | null;
  readonly #tickMs: number;
  readonly #muteTicksMax: number;
  readonly #all = new Set<Connection>();
  readonly #free: Connection[] = [];
  readonly #upgrades = new Set<Upgrade>();
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: EndpointOptions) {
    for (const [name, value] of Object.entries(options.headers)) {
      assert(HEADER_TEXT.test(value), `the header ${name} holds characters that HTTP cannot carry`);
    }
    this.options = options;
    this.#url = options.address.kind === 'url' ? new URL(options.address.baseUrl) : null;
    this.connectedEvent = this.#url?.protocol === 'https:' ? 'secureConnect' : 'connect';
    this.hostHeader = hostHeader(options, this.#url);
    const { firstByteTimeoutMs, streamIdleTimeoutMs, connectTimeoutMs, keepAliveMs } = options;
    const shortest = Math.min(firstByteTimeoutMs, streamIdleTimeoutMs, connectTimeoutMs, keepAliveMs);
    this.#tickMs = Math.min(TICK_MS_MAX, Math.max(TICK_MS_MIN, Math.floor(shortest / TICKS_PER_TIMEOUT)));
    this.#muteTicksMax = Math.ceil(firstByteTimeoutMs / this.#tickMs);
  }

  send(request: UpstreamRequest, handler: AnswerHandler): Transmission {
    const connection = this.#take();
    if (connection === null) {
      handler.onError({
        kind: 'not_sent',
        detail: this.#closed ? 'the engine is stopping' : 'no free connection',
      });
      return nothing;
    }
    this.counters.requestsSent += 1;
    connection.send(request, handler);
    return connection;
  }

  upgrade(request: UpstreamRequest, handler: UpgradeHandler): Transmission {
    if (this.#closed || this.#upgrades.size >= UPGRADED_CONNECTIONS_MAX) {
      handler.onError(
        this.#closed
          ? { kind: 'not_sent', detail: 'the engine is stopping' }
          : { kind: 'full', detail: `it has ${UPGRADED_CONNECTIONS_MAX} WebSockets` },
      );
      return nothing;
    }
    // Those under a lease count as the pool's: a kept one makes room, and nobody's lease finds the pool full.
    if (this.#all.size + this.#upgrades.size >= this.options.connectionsMax) this.#free.shift()?.destroy();
    this.counters.requestsSent += 1;
    const upgrade = new Upgrade(this, request, handler);
    this.#upgrades.add(upgrade);
    return upgrade;
  }

  get isMute(): boolean {
    return this.muteTicks >= this.#muteTicksMax;
  }

  heard(): void {
    this.muteTicks = 0;
  }

  close(): void {
    this.#closed = true;
    this.#endIdle();
    for (const upgrade of [...this.#upgrades]) upgrade.leave();
  }

  destroy(cause: Error): void {
    this.close();
    for (const connection of [...this.#all]) {
      const kind = connection.isConnected ? 'connection_lost' : 'not_sent';
      connection.fail({ kind, detail: cause.message });
    }
    for (const upgrade of [...this.#upgrades]) upgrade.lose(cause.message);
  }

  // Called by connections.

  openSocket(onread: OnRead | null): Socket {
    const { address } = this.options;
    const url = this.#url;
    const reading = onread === null ? { allowHalfOpen: true } : { onread };
    if (address.kind === 'unix') return connectTcp({ path: address.socketPath, ...reading });
    if (address.kind === 'tcp') {
      const { host, port } = address;
      return connectTcp({ host, port, noDelay: true, keepAlive: true, ...reading });
    }
    const host = url?.hostname.replace(/^\[|\]$/g, '') ?? '';
    const isTls = url?.protocol === 'https:';
    const port = Number(url?.port || (isTls ? 443 : 80));
    const base = { host, port, noDelay: true, keepAlive: true, ...reading };
    if (!isTls) return connectTcp(base);
    const name = isIP(host) === 0 ? { servername: host } : {};
    return connectTls({ ...base, ...name, ALPNProtocols: ['http/1.1'] });
  }

  connectionOpened(): void {
    this.counters.connectionsCreated += 1;
  }

  connectionFree(connection: Connection): void {
    if (this.#closed) connection.destroy();
    else this.#free.push(connection);
  }

  connectionGone(connection: Connection): void {
    this.#all.delete(connection);
    const at = this.#free.lastIndexOf(connection);
    if (at >= 0) this.#free.splice(at, 1);
  }

  upgradeGone(upgrade: Upgrade): void {
    this.#upgrades.delete(upgrade);
  }

  keptConnectionLost(): void {
    this.#endIdle();
  }

  #endIdle(): void {
    for (const connection of this.#free.splice(0)) connection.destroy();
  }

  #take(): Connection | null {
    if (this.#closed) return null;
    const warm = this.#free.pop();
    if (warm !== undefined) return warm;
    if (this.#all.size >= this.options.connectionsMax) {
      this.counters.poolWaits += 1;
      return null;
    }
    const connection = new Connection(this);
    connection.lastTick = this.tick;
    this.#all.add(connection);
    this.#timer ??= setInterval(() => this.#watch(), this.#tickMs).unref();
    return connection;
  }

  #watch(): void {
    this.tick += 1;
    const { firstByteTimeoutMs, streamIdleTimeoutMs, connectTimeoutMs, keepAliveMs } = this.options;
    let isAwaited = false;
    for (const connection of [...this.#all]) {
      const quietMs = (this.tick - connection.lastTick - 1) * this.#tickMs;
      if (!connection.isBusy) {
        const hint = connection.keepAliveHintMs ?? Number.POSITIVE_INFINITY;
        if (quietMs >= Math.min(keepAliveMs, hint - KEEP_ALIVE_MARGIN_MS)) connection.destroy();
      } else if (!connection.isConnected) {
        if (quietMs >= connectTimeoutMs)
          connection.fail({ kind: 'not_sent', detail: 'no connection (timed out)' });
      } else if (connection.isPaused) {
        // Waiting for the client is not the engine's silence.
      } else if (!connection.isAnswering) {
        isAwaited = true;
        if (quietMs >= firstByteTimeoutMs)
          connection.fail({ kind: 'no_first_byte', detail: 'its answer did not begin in time' });
      } else if (quietMs >= streamIdleTimeoutMs) {
        connection.fail({ kind: 'idle', detail: 'it sent nothing more for too long' });
      }
    }
    if (isAwaited && ++this.muteTicks === this.#muteTicksMax) this.options.onMute?.();
    if (this.#all.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}

/** Stands for a request that was refused at once. */
const nothing: Transmission = { abort: () => undefined, resume: () => undefined };

function hostHeader(options: EndpointOptions, url: URL | null): string {
  const { address } = options;
  if (address.kind === 'unix') return 'localhost';
  if (address.kind === 'url') return url?.host ?? '';
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}
