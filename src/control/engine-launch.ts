/**
 * One launch of one engine, from the command to the verified end. It turns what runtime, engine and probes say into
 * scheduler events; it decides nothing.
 *  L1. After `exited` or `stopped` was reported no other event of this launch follows, except `stopped` after `exited`.
 *  L2. Every probe and every stop has a time limit; nothing here waits for an engine without one.
 */
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { DeviceId } from '../core/ids.ts';
import { LOG_TAIL_LINES, POOL_SPARE_CONNECTIONS } from '../core/limits.ts';
import type { Diagnosis, EngineHttp, ExitStatus, SleepLevel } from '../engines/engine.ts';
import type { Endpoint } from '../proxy/endpoint-types.ts';
import type {
  AdoptedEngine,
  EngineHandle,
  LaunchObserver,
  LaunchResult,
  LaunchStage,
} from '../runtimes/runtime.ts';
import type { Effect } from '../scheduler/effects.ts';
import type { AdoptedStage } from '../scheduler/model-policy.ts';
import { type FoundEngine, findStage } from './adoption.ts';
import { putToSleep, type SleepPorts, wakeUp } from './engine-sleep.ts';
import { type LaunchOrder, type LaunchPorts, poolIdleMs } from './launch-ports.ts';
import { launchSpec } from './launch-spec.ts';
import { untilMemorySettled, useWithout } from './memory-settling.ts';
import { type ProbePorts, ReadinessProbe, suspectFault } from './readiness.ts';
import { type RoomWant, untilRoom } from './room.ts';

type StartEffect = Extract<Effect, { kind: 'start' }>;

export class EngineLaunch {
  readonly launchId: string;
  readonly model: ResolvedModel;
  endpoint: Endpoint | null = null;
  deviceIds: readonly DeviceId[] = [];
  readonly #ports: LaunchPorts;
  readonly #lines: string[] = [];
  readonly #abort = new AbortController();
  #handle: EngineHandle | null = null;
  #http: EngineHttp | null = null;
  #launching: Promise<void> | null = null;
  #startedMs = 0;
  /** Reserved on each device by an earlier gateway; null: this one launched it. */
  #adoptedMib: number | null = null;
  #readiness: ReadinessProbe | null = null;
  #stopping = false;
  #exited = false;

  constructor(ports: LaunchPorts, model: ResolvedModel, launchId: string) {
    this.#ports = ports;
    this.model = model;
    this.launchId = launchId;
  }

  start(effect: StartEffect, order: LaunchOrder): void {
    this.#startedMs = this.#ports.clock.nowMs();
    this.deviceIds = effect.deviceIds;
    this.#launching = this.#launch(effect, order).catch((error: unknown) => {
      this.#ports.runtime.releaseAddress(this.launchId);
      this.#failed({
        cause: 'unknown',
        text: `the launch failed: ${String(error)}`,
        lastLine: '',
        retryable: true,
      });
    });
  }

  /** Takes over an engine of an earlier gateway and finds out how far it is. Never rejects. */
  async adopt({ handle, spec, stage }: AdoptedEngine): Promise<FoundEngine> {
    const { clock, engine } = this.#ports;
    const http = this.#ports.openHttp(handle);
    this.#handle = handle;
    this.deviceIds = spec.deviceIds;
    this.#adoptedMib = spec.memoryMibPerDevice;
    this.#http = http;
    const ageMs = Math.max(0, clock.wallMs() - handle.startedWallMs);
    this.#startedMs = clock.nowMs() - ageMs;
    const { model } = this;
    const signal = this.#abort.signal;
    const found = await findStage(
      { clock, engine, http, model, signal, hasExited: () => this.#exited },
      stage,
      ageMs,
    );
    const { kind } = found.stage;
    if (kind !== 'starting' && kind !== 'unusable') this.endpoint = this.#open(handle);
    return found;
  }

  /** Goes on with what an earlier gateway began. The scheduler knows of the adoption already. */
  resume(stage: AdoptedStage): void {
    if (stage.kind === 'starting' && this.#handle !== null) this.#awaitReadiness(this.#handle);
    else if (stage.kind === 'falling_asleep') this.sleep(stage.level, this.#adoptedMib);
    // It holds its devices already.
    else if (stage.kind === 'waking') this.wake(stage.level, []);
    else if (stage.kind === 'awake') void this.#note({ kind: 'serving' });
    else if (stage.kind === 'asleep') void this.#note(stage);
  }

  observer(): LaunchObserver {
    return { line: (text) => this.#line(text), exited: (exit) => this.#processExited(exit) };
  }

  /** Ends the engine and reports `stopped`, also when there never was a process. */
  stop(graceMs: number): void {
    this.#stopping = true;
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

  /** Its process or container, for people; null: there is none yet. */
  get reference(): string | null {
    return this.#handle?.reference ?? null;
  }

  /** Its process has ended, whether or not anybody asked for it. */
  get hasExited(): boolean {
    return this.#exited;
  }

  /** Leaves the engine running. Resolves when no launch is under way any more. */
  async release(): Promise<void> {
    this.#stopping = true;
    this.#abort.abort();
    this.endpoint?.close();
    await this.#launching;
  }

  /** A connection broke, or it gives no answers: does the engine live? Reports `probed`, unless it ends meanwhile. */
  probe(): void {
    const fault =
      this.#http === null
        ? Promise.resolve('it has no address')
        : suspectFault(this.#probePorts(this.#http), () => this.#exited, this.endpoint);
    void fault.then((detail) => {
      if (this.#stopping) return;
      if (detail === null) this.endpoint?.heard();
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

  /** Nothing may run on it. Reports `slept`, unless it ends meanwhile. `resumedMib`: as of `putToSleep`. */
  sleep(level: SleepLevel, resumedMib: number | null = null): void {
    const ports = this.#sleepPorts();
    if (ports === null) return;
    const about = { kind: 'slept', model: this.model.name, launchId: this.launchId } as const;
    void this.#note({ kind: 'falling_asleep', level })
      .then(() => putToSleep(ports, level, resumedMib))
      .catch((error: unknown) => ({ kind: 'failed', detail: String(error) }) as const)
      .then((slept) => {
        if (this.#stopping || this.#exited) return;
        if (slept.kind === 'failed')
          this.#ports.send({ ...about, ok: false, residueMib: null, hostMib: null, detail: slept.detail });
        else {
          const { residueMib, hostMib } = slept;
          void this.#note({ kind: 'asleep', level });
          this.#ports.send({ ...about, ok: true, residueMib, hostMib, detail: '' });
        }
      });
  }

  /** Reports `woke` or `no_room`, unless it ends meanwhile. */
  wake(level: SleepLevel, wants: readonly RoomWant[]): void {
    const ports = this.#sleepPorts();
    if (ports === null) return;
    const about = { model: this.model.name, launchId: this.launchId };
    void this.#note({ kind: 'waking', level })
      .then(() => wakeUp(ports, level, wants))
      .catch((error: unknown) => ({ kind: 'failed', detail: String(error) }) as const)
      .then((woken) => {
        if (this.#stopping || this.#exited) return;
        if (woken.kind === 'no_room') {
          void this.#note({ kind: 'asleep', level });
          this.#roomMissing(woken.freeMib, true);
        } else if (woken.kind === 'failed')
          this.#ports.send({ kind: 'woke', ...about, ok: false, detail: woken.detail });
        else {
          void this.#note({ kind: 'serving' });
          this.#ports.send({ kind: 'woke', ...about, ok: true, detail: '' });
        }
      });
  }

  /** A move is noted before it begins, so that the next gateway finishes it. */
  async #note(stage: LaunchStage): Promise<void> {
    if (this.#handle !== null && !this.#stopping) await this.#ports.runtime.note(this.#handle, stage);
  }

  #sleepPorts(): SleepPorts | null {
    if (this.#http === null) return null;
    const { clock, engine, readHost } = this.#ports;
    const { model, launchId } = this;
    const [http, deviceIds, signal] = [this.#http, this.deviceIds, this.#abort.signal];
    // Once the launch ends nobody waits for its devices any more.
    const readMemory = () =>
      signal.aborted ? Promise.reject(new Error('the launch has ended')) : this.#ports.readMemory();
    return { clock, engine, http, model, launchId, deviceIds, readMemory, readHost, signal };
  }

  #roomMissing(freeMib: ReadonlyMap<DeviceId, number>, asleep: boolean): void {
    this.#ports.send({
      kind: 'no_room',
      asleep,
      model: this.model.name,
      launchId: this.launchId,
      freeMib: Object.fromEntries(freeMib),
    });
  }

  /** False: the devices do not have what is reserved there, and the launch is over before it began. */
  async #hasRoom({ memoryMibPerDevice }: StartEffect, { devices }: LaunchOrder): Promise<boolean> {
    const wants = devices
      // Host memory is given and taken by everybody all the time; the engine's own check has to do there.
      .filter(({ source }) => source !== 'host')
      .map((device) => ({
        deviceId: device.id,
        neededMib: memoryMibPerDevice,
        totalMib: device.totalMib,
      }));
    if (wants.length === 0) return true;
    // A stop need not wait for the end of this.
    const read = () => (this.#stopping ? Promise.reject(new Error('stopping')) : this.#ports.readMemory());
    const room = await untilRoom(read, wants, this.#ports.clock);
    if (room.kind !== 'short' || this.#stopping) return true;
    this.#roomMissing(room.freeMib, false);
    return false;
  }

  async #launch(effect: StartEffect, order: LaunchOrder): Promise<void> {
    const { runtime, engine } = this.#ports;
    if (!(await this.#hasRoom(effect, order))) return;
    const { unixSockets } = runtime.capabilities;
    const listen = await runtime.address(this.launchId, unixSockets ? engine.listensOn(this.model) : 'tcp');
    const { launchId, model } = this;
    const { deviceIds, memoryMibPerDevice } = effect;
    const site = { launchId, model, listen, deviceIds, memoryMibPerDevice };
    const spec = launchSpec(this.#ports, site, order);
    if (this.#stopping) {
      runtime.releaseAddress(launchId);
      return;
    }
    const result: LaunchResult = await runtime.launch(spec, this.observer());
    if (result.kind === 'failed') {
      const retryable = result.cause === 'resources' || result.cause === 'image_missing';
      const named = result.cause === 'executable_missing' || result.cause === 'image_missing';
      const cause = named ? result.cause : 'unknown';
      this.#failed({ cause, text: result.detail, lastLine: '', retryable });
      return;
    }
    this.#handle = result.handle;
    if (this.#stopping) return;
    this.#http = this.#ports.openHttp(result.handle);
    this.#ports.log('info', 'engine launched', {
      model: this.model.name,
      launch: this.launchId,
      process: result.handle.reference,
      output: result.handle.outputFile,
    });
    this.#awaitReadiness(result.handle);
  }

  #awaitReadiness(handle: EngineHandle): void {
    if (this.#http === null) return;
    this.#readiness = new ReadinessProbe(this.#probePorts(this.#http), this.#startedMs, (found) => {
      if (found.kind === 'stranger') {
        this.#failed({ cause: 'stranger_on_port', text: found.detail, lastLine: '', retryable: true });
        return;
      }
      this.endpoint = this.#open(handle);
      void this.#note({ kind: 'serving' });
      const { contextLength } = found;
      this.#ports.send({ kind: 'ready', model: this.model.name, launchId: this.launchId, contextLength });
    });
  }

  #probePorts(http: EngineHttp): ProbePorts {
    const { clock, engine } = this.#ports;
    return { clock, engine, http, model: this.model, signal: this.#abort.signal };
  }

  #open({ listen, authorization }: EngineHandle): Endpoint {
    return this.#ports.openEndpoint(this.model.name, {
      address: listen,
      connectionsMax: this.model.maxConcurrent + POOL_SPARE_CONNECTIONS,
      keepAliveMs: poolIdleMs(this.#ports.engine),
      connectTimeoutMs: this.#ports.connectTimeoutMs,
      firstByteTimeoutMs: this.model.firstByteTimeoutMs,
      streamIdleTimeoutMs: this.model.streamIdleTimeoutMs,
      onMute: () => this.#ports.send({ kind: 'mute', model: this.model.name, launchId: this.launchId }),
      headers: authorization === null ? {} : { authorization },
      pathPrefix: '',
    });
  }

  async #end(graceMs: number): Promise<{ readonly verified: boolean; readonly detail: string }> {
    // A launch under way is waited for: it may be about to have a process.
    await this.#launching;
    if (this.#handle === null) return { verified: true, detail: 'there was no process' };
    const { clock, readMemory, runtime } = this.#ports;
    const before = readMemory().catch(() => []);
    const result = await runtime.stop(this.#handle, graceMs);
    if (result.kind === 'left') return { verified: false, detail: result.detail };
    const awaitedMib = useWithout(this.launchId, this.deviceIds, await before);
    const settling = await untilMemorySettled(readMemory, this.deviceIds, clock, awaitedMib);
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
    const memory = this.#ports.engine.parseMemory(text);
    if (memory !== null) this.#ports.memoryReported(memory);
    const report = this.#ports.engine.parseLine(text);
    if (report === null) return;
    this.#ports.send({ kind: 'phase', model: this.model.name, launchId: this.launchId, ...report });
    if (report.phase === 'serving') this.#readiness?.saysServing();
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
    this.#abort.abort();
    const mended = this.endpoint === null ? this.#ports.mend(diagnosis) : null;
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
      ...(mended === null ? {} : { mended }),
    });
  }
}
