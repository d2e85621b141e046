/**
 * One launch of one engine, from the command to the verified end. It turns what runtime, engine and probes say into
 * scheduler events; it decides nothing.
 *  L1. After `exited` or `stopped` was reported no other event of this launch follows, except `stopped` after `exited`.
 *  L2. Every probe and every stop has a time limit; nothing here waits for an engine without one.
 */
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { CancelTimer, Clock } from '../core/clock.ts';
import type { DeviceId, ModelName } from '../core/ids.ts';
import { LOG_TAIL_LINES, POOL_SPARE_CONNECTIONS } from '../core/limits.ts';
import type { Device, MemoryReading } from '../devices/device.ts';
import type { Diagnosis, Engine, EngineHttp, ExitStatus, ListenAddress } from '../engines/engine.ts';
import type { Endpoint, EndpointOptions } from '../proxy/endpoint-types.ts';
import type {
  AdoptedEngine,
  EngineHandle,
  LaunchObserver,
  LaunchResult,
  Runtime,
} from '../runtimes/runtime.ts';
import type { Effect } from '../scheduler/effects.ts';
import type { SchedulerEvent } from '../scheduler/events.ts';
import { untilMemorySettled } from './memory-settling.ts';

/** First pause between probes; it grows with the time that the start has taken. */
const PROBE_PAUSE_MIN_MS = 50;
const PROBE_PAUSE_MAX_MS = 500;
const PROBE_PAUSE_SHARE = 0.03;
const PROBE_TIMEOUT_MS = 2_000;
/** A suspect engine is asked this often before it counts as dead. */
const SUSPECT_PROBES = 3;
/** A server under load may be slow to answer; one that is dead refuses at once. */
const SUSPECT_PROBE_TIMEOUT_MS = 10_000;
const SUSPECT_PAUSE_MS = 100;
/** Our pool closes idle connections at this share of the time after which the engine may. */
const KEEP_ALIVE_SHARE = 0.8;

export interface LaunchPorts {
  readonly clock: Clock;
  readonly runtime: Runtime;
  readonly engine: Engine;
  readonly openHttp: (address: ListenAddress) => EngineHttp;
  readonly openEndpoint: (model: ModelName, options: EndpointOptions) => Endpoint;
  /** What the devices say is used at present. */
  readonly readMemory: () => Promise<readonly MemoryReading[]>;
  /** Added to every engine's environment: what its devices ask for. */
  readonly deviceEnvironment: Readonly<Record<string, string>>;
  readonly connectTimeoutMs: number;
  readonly silenceTimeoutMs: number;
  readonly send: (event: SchedulerEvent) => void;
  readonly log: (level: 'info' | 'warn' | 'error', text: string, fields: Record<string, unknown>) => void;
}

/** How long a connection of our pool may be idle. */
export function poolIdleMs(engine: Engine): number {
  return engine.capabilities.keepAliveMs * KEEP_ALIVE_SHARE;
}

type StartEffect = Extract<Effect, { kind: 'start' }>;

export class EngineLaunch {
  readonly launchId: string;
  readonly model: ResolvedModel;
  endpoint: Endpoint | null = null;
  readonly #ports: LaunchPorts;
  readonly #lines: string[] = [];
  readonly #abort = new AbortController();
  #handle: EngineHandle | null = null;
  #http: EngineHttp | null = null;
  #launching: Promise<void> | null = null;
  #cancelProbe: CancelTimer = () => {};
  #startedMs = 0;
  #deviceIds: readonly DeviceId[] = [];
  #probing = false;
  /** Its output said that it serves: the next probes come quickly. */
  #saysServing = false;
  #stopping = false;
  #exited = false;

  constructor(ports: LaunchPorts, model: ResolvedModel, launchId: string) {
    this.#ports = ports;
    this.model = model;
    this.launchId = launchId;
  }

  start(effect: StartEffect, devices: readonly Device[], signature: string): void {
    this.#startedMs = this.#ports.clock.nowMs();
    this.#deviceIds = effect.deviceIds;
    this.#launching = this.#launch(effect, devices, signature).catch((error: unknown) => {
      this.#ports.runtime.releaseAddress(this.launchId);
      this.#failed({
        cause: 'unknown',
        text: `the launch failed: ${String(error)}`,
        lastLine: '',
        retryable: true,
      });
    });
  }

  /** Takes over an engine of an earlier gateway; whether it is ready is for `isReady` to say. */
  adopt(adopted: AdoptedEngine): void {
    this.#handle = adopted.handle;
    this.#deviceIds = adopted.spec.deviceIds;
    this.#http = this.#ports.openHttp(adopted.handle.listen);
  }

  observer(): LaunchObserver {
    return { line: (text) => this.#line(text), exited: (exit) => this.#processExited(exit) };
  }

  /** One probe of an adopted engine; opens the endpoint when it is ready. `contextLength` null and `ready` false: it is not. */
  async isReady(): Promise<{ readonly ready: boolean; readonly contextLength: number | null }> {
    if (this.#http === null || this.#handle === null) return { ready: false, contextLength: null };
    const result = await this.#ports.engine.probe(
      this.#http,
      this.model,
      PROBE_TIMEOUT_MS,
      this.#abort.signal,
    );
    if (result.kind !== 'ready' || this.#exited) return { ready: false, contextLength: null };
    this.endpoint = this.#open(this.#handle.listen);
    return { ready: true, contextLength: result.contextLength };
  }

  /** Ends the engine and reports `stopped`, also when there never was a process. */
  stop(graceMs: number): void {
    this.#stopping = true;
    this.#cancelProbe();
    this.#abort.abort();
    this.endpoint?.close();
    void this.#end(graceMs).then(
      ({ verified, detail }) => {
        if (verified) this.endpoint?.destroy(new Error('the engine was stopped'));
        this.#ports.send({
          kind: 'stopped',
          model: this.model.name,
          launchId: this.launchId,
          verified,
          detail,
        });
      },
      (error: unknown) => {
        const detail = String(error);
        this.#ports.send({
          kind: 'stopped',
          model: this.model.name,
          launchId: this.launchId,
          verified: false,
          detail,
        });
      },
    );
  }

  /** Its process has ended, whether or not anybody asked for it. */
  get hasExited(): boolean {
    return this.#exited;
  }

  /** Forgets the engine and leaves it running. */
  release(): void {
    this.#stopping = true;
    this.#cancelProbe();
    this.#abort.abort();
    this.endpoint?.close();
  }

  /** A connection broke: does the engine live? Reports `probed`, unless it ends meanwhile. */
  probe(): void {
    void this.#probeSuspect().then((detail) => {
      if (this.#stopping) return;
      const healthy = detail === null && !this.#exited;
      this.#ports.send({
        kind: 'probed',
        model: this.model.name,
        launchId: this.launchId,
        healthy,
        detail: detail ?? '',
      });
    });
  }

  async #launch(effect: StartEffect, devices: readonly Device[], signature: string): Promise<void> {
    const { runtime, engine } = this.#ports;
    const listen = await runtime.address(this.launchId, engine.listensOn(this.model));
    const command = engine.command(this.model, {
      launchId: this.launchId,
      listen,
      deviceIds: devices.filter((device) => device.source !== 'host').map((device) => device.id),
      deviceSource: devices[0]?.source ?? 'host',
      memoryMibPerDevice: effect.memoryMibPerDevice,
      deviceMemoryMib: Math.max(effect.memoryMibPerDevice, ...devices.map((device) => device.totalMib)),
    });
    if (this.#stopping) {
      runtime.releaseAddress(this.launchId);
      return;
    }
    const result: LaunchResult = await runtime.launch(
      {
        launchId: this.launchId,
        model: this.model.name,
        argv: command.argv,
        environment: { ...command.environment, ...this.#ports.deviceEnvironment },
        listen,
        deviceIds: effect.deviceIds,
        memoryMibPerDevice: effect.memoryMibPerDevice,
        signature,
      },
      this.observer(),
    );
    if (result.kind === 'failed') {
      const retryable = result.cause === 'resources';
      const cause = result.cause === 'executable_missing' ? 'executable_missing' : 'unknown';
      this.#failed({ cause, text: result.detail, lastLine: '', retryable });
      return;
    }
    this.#handle = result.handle;
    this.#http = this.#ports.openHttp(listen);
    this.#ports.log('info', 'engine launched', {
      model: this.model.name,
      launch: this.launchId,
      process: result.handle.reference,
      output: result.handle.outputFile,
    });
    this.#probeSoon();
  }

  #probeSoon(): void {
    if (this.#stopping || this.#exited) return;
    const { clock } = this.#ports;
    const elapsedMs = clock.nowMs() - this.#startedMs;
    const growingMs = Math.min(
      PROBE_PAUSE_MAX_MS,
      Math.max(PROBE_PAUSE_MIN_MS, elapsedMs * PROBE_PAUSE_SHARE),
    );
    const pauseMs = this.#saysServing ? PROBE_PAUSE_MIN_MS : growingMs;
    this.#cancelProbe = clock.setTimer(clock.nowMs() + pauseMs, () => void this.#probeStart());
  }

  async #probeStart(): Promise<void> {
    if (this.#http === null || this.#handle === null || this.#probing) return;
    this.#probing = true;
    const { engine } = this.#ports;
    const result = await engine.probe(this.#http, this.model, PROBE_TIMEOUT_MS, this.#abort.signal);
    this.#probing = false;
    if (this.#stopping || this.#exited) return;
    switch (result.kind) {
      case 'ready':
        this.endpoint = this.#open(this.#handle.listen);
        this.#ports.send({
          kind: 'ready',
          model: this.model.name,
          launchId: this.launchId,
          contextLength: result.contextLength,
        });
        return;
      case 'not_ready':
        this.#probeSoon();
        return;
      case 'stranger':
        this.#failed({ cause: 'stranger_on_port', text: result.detail, lastLine: '', retryable: true });
        return;
    }
  }

  /** Null: it is healthy. */
  async #probeSuspect(): Promise<string | null> {
    const { clock } = this.#ports;
    let detail = 'it has no address';
    for (let attempt = 0; attempt < SUSPECT_PROBES && this.#http !== null; attempt += 1) {
      const result = await this.#ports.engine.probe(
        this.#http,
        this.model,
        SUSPECT_PROBE_TIMEOUT_MS,
        this.#abort.signal,
      );
      if (result.kind === 'ready') return null;
      detail = result.detail;
      if (this.#exited) break;
      await new Promise<void>((resolve) => clock.setTimer(clock.nowMs() + SUSPECT_PAUSE_MS, resolve));
    }
    return detail;
  }

  #open(address: ListenAddress): Endpoint {
    return this.#ports.openEndpoint(this.model.name, {
      address,
      connectionsMax: this.model.maxConcurrent + POOL_SPARE_CONNECTIONS,
      keepAliveMs: poolIdleMs(this.#ports.engine),
      connectTimeoutMs: this.#ports.connectTimeoutMs,
      silenceTimeoutMs: this.#ports.silenceTimeoutMs,
      headers: {},
      pathPrefix: '',
    });
  }

  async #end(graceMs: number): Promise<{ readonly verified: boolean; readonly detail: string }> {
    // A launch under way is waited for: it may be about to have a process.
    await this.#launching;
    if (this.#handle === null) return { verified: true, detail: 'there was no process' };
    const result = await this.#ports.runtime.stop(this.#handle, graceMs);
    if (result.kind === 'left') return { verified: false, detail: result.detail };
    const settling = await untilMemorySettled(this.#ports.readMemory, this.#deviceIds, this.#ports.clock);
    const detail = settling === 'falling' ? 'its memory was still coming back at the limit' : '';
    if (detail !== '') {
      this.#ports.log('warn', `${this.model.name} is gone, but ${detail}`, { launch: this.launchId });
    }
    return { verified: true, detail };
  }

  #line(text: string): void {
    this.#lines.push(text);
    if (this.#lines.length > LOG_TAIL_LINES) this.#lines.shift();
    if (this.#stopping || this.#exited || this.endpoint !== null) return;
    const report = this.#ports.engine.parseLine(text);
    if (report === null) return;
    this.#ports.send({ kind: 'phase', model: this.model.name, launchId: this.launchId, ...report });
    if (report.phase !== 'serving') return;
    this.#saysServing = true;
    this.#cancelProbe();
    void this.#probeStart();
  }

  #processExited(exit: ExitStatus): void {
    if (this.#exited) return;
    if (this.#stopping) {
      this.#exited = true;
      return;
    }
    this.#failed(this.#ports.engine.diagnose(exit, this.#lines));
  }

  #failed(diagnosis: Diagnosis): void {
    if (this.#exited || this.#stopping) return;
    this.#exited = true;
    this.#cancelProbe();
    this.#abort.abort();
    this.endpoint?.destroy(new Error(diagnosis.text));
    const { cause, retryable, lastLine } = diagnosis;
    const text =
      lastLine === '' || diagnosis.text.includes(lastLine)
        ? diagnosis.text
        : `${diagnosis.text} (last line: ${lastLine})`;
    this.#ports.send({
      kind: 'exited',
      model: this.model.name,
      launchId: this.launchId,
      failure: { cause, text, retryable },
    });
  }
}
