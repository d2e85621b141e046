/**
 * The composition root: makes one gateway of configuration, runtime, devices, control loop and front. Everything that is
 * replaceable is chosen here and nowhere else.
 */
import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { loadStaticKeys, type StaticKeys } from '../access/static-keys.ts';
import type { ResolvedConfig } from '../config/resolved-config.ts';
import { startupLines } from '../config/startup-lines.ts';
import { ControlLoop } from '../control/control-loop.ts';
import { CostKeeper } from '../control/cost-keeper.ts';
import { RunRecorder } from '../control/run-record.ts';
import { gatewayStatus } from '../control/status.ts';
import { createSystemClock } from '../control/system-clock.ts';
import type { DeviceId } from '../core/ids.ts';
import { failure, type Result, success } from '../core/result.ts';
import type { DeviceInventory, DeviceSource, MemoryReading } from '../devices/device.ts';
import { createDeviceSource } from '../devices/device-source.ts';
import { createEngineHttp } from '../engines/engine-http.ts';
import { createEngineRegistry } from '../engines/registry.ts';
import { createNameResolver } from '../http/names.ts';
import { createFront, type Front } from '../http/server.ts';
import { createEndpoint } from '../proxy/endpoint.ts';
import { openProcessRuntime } from '../runtimes/process/process-runtime.ts';
import type { Runtime } from '../runtimes/runtime.ts';
import { readLearnedCosts, type StoredCosts } from '../store/learned-costs.ts';
import type { Log } from '../telemetry/log.ts';
import { GatewayMetrics } from '../telemetry/metrics.ts';
import { createRequestLog } from '../telemetry/request-log.ts';
import { tellDevices } from './launch-moves.ts';
import { modelCards, modelGauges } from './model-cards.ts';
import { VERSION } from './version.ts';

/** Pause after a reading of the devices that failed; it doubles up to the maximum. */
const DEVICES_RETRY_MS = 1_000;
const DEVICES_RETRY_MS_MAX = 30_000;
/** Changes of foreign memory below this are not heeded. */
const FOREIGN_STEP_MIB = 256;
/** Engines that were told to stop must be gone within their grace, the kill and its verification. */
const ENGINES_GONE_LIMIT_MS = 30_000;

export interface GatewayOptions {
  readonly config: ResolvedConfig;
  readonly log: Log;
  readonly environment: NodeJS.ProcessEnv;
  readonly recordFile: string | null;
}

export class Gateway {
  readonly #config: ResolvedConfig;
  readonly #log: Log;
  readonly #runtime: Runtime;
  readonly #recorder: RunRecorder | null;
  readonly #clock = createSystemClock();
  readonly #costs: CostKeeper;
  readonly control: ControlLoop;
  readonly #front: Front;
  readonly #devices: DeviceSource;
  readonly #startedS = Math.floor(Date.now() / 1000);
  #inventory: DeviceInventory = { devices: [], conditions: [], complete: false };
  #memory: readonly MemoryReading[] = [];
  /** As the scheduler was told last. */
  readonly #foreignMib = new Map<DeviceId, number>();
  /** `opening` until the devices are read; /ready says yes only while `serving`. */
  #life: 'opening' | 'serving' | 'ending' = 'opening';
  readonly #ending = new AbortController();
  #opening: Promise<void> = Promise.resolve();

  /** The error is a sentence for the operator. */
  static async open(options: GatewayOptions): Promise<Result<Gateway, string>> {
    const { config } = options;
    const keys = await openKeys(config, options.log);
    if (!keys.ok) return keys;
    const { stateDirectory, outputLimitBytes } = config.runtime;
    const runtime = await openProcessRuntime({ stateDirectory, outputLimitBytes });
    if (!runtime.ok) return runtime;
    const learned = await readLearnedCosts(costsFile(config));
    return success(new Gateway(options, runtime.value, keys.value, learned));
  }

  private constructor(
    options: GatewayOptions,
    runtime: Runtime,
    keys: StaticKeys | null,
    learned: StoredCosts,
  ) {
    const { config, log, environment, recordFile } = options;
    this.#config = config;
    this.#log = log;
    this.#runtime = runtime;
    this.#recorder = recordFile === null ? null : new RunRecorder(recordFile, (text) => log('error', text));
    const ledgerDirectory = join(config.runtime.stateDirectory, 'ledger');
    this.#devices = createDeviceSource({
      config: config.devices,
      environment,
      ledgerDirectory,
      clock: this.#clock,
      ownerOf: (pid) => runtime.ownerOf(pid),
    });
    const engineFor = createEngineRegistry(environment);
    this.#costs = new CostKeeper(this.#clock, costsFile(config), (text) => log('warn', text));
    const metrics = new GatewayMetrics(
      () => this.#clock.nowMs(),
      () => modelGauges(this.control.state),
    );
    for (const notice of config.notices) if (notice.level === 'error') metrics.configurationError();
    this.control = new ControlLoop(
      {
        clock: this.#clock,
        runtime,
        engineOf: (model) => engineFor(model.engine),
        readMemory: () => this.#devices.memory(),
        deviceEnvironment: this.#devices.engineEnvironment,
        openHttp: (address) => createEngineHttp(address),
        openEndpoint: (model, endpointOptions) => {
          const endpoint = createEndpoint(endpointOptions);
          metrics.poolOpened(model, endpoint.counters);
          return endpoint;
        },
        log,
        observe: (event, effects) => {
          metrics.observed(event, effects);
          if (event.kind === 'ready' || event.kind === 'stopped') this.#costs.changed(this.control.state);
          tellDevices(this.#devices, event, effects);
        },
        recorder: this.#recorder,
      },
      { config, learned, launchPrefix: newLaunchPrefix(), version: VERSION },
    );
    const logRequest = createRequestLog(log, config.log.level);
    this.#front = createFront({
      server: config.server,
      gate: this.control,
      names: createNameResolver(config),
      keys,
      clock: this.#clock,
      data: {
        models: () => modelCards(this.control.state, config, this.#startedS),
        ready: () => this.#life === 'serving',
        metricsText: () => metrics.text(),
        status: () => this.#status(),
      },
      observer: {
        requestEnded: (end) => {
          metrics.requestEnded(end);
          logRequest(end);
        },
      },
    });
  }

  /** Listens first, then reads the devices: until then requests wait and /ready answers 503. */
  async start(): Promise<AddressInfo> {
    for (const line of startupLines(this.#config)) this.#log('info', line);
    const { host, port } = this.#config.server;
    const address = await this.#front.listen(host, port);
    this.#opening = this.#readDevices();
    return address;
  }

  /**
   * The orderly end. `/ready` says no at once; requests are still taken for `delayMs`, so that a balancer can look away;
   * then running ones may finish, and engines are stopped, or left. `hurry` cuts the waits short when it aborts.
   * Answers whether every request ended by itself and every engine is accounted for.
   */
  async stop(options: {
    readonly delayMs: number;
    readonly leaveEngines: boolean;
    readonly hurry: AbortSignal;
  }): Promise<boolean> {
    this.#life = 'ending';
    this.#ending.abort();
    // Engines that are being adopted must be known before they can be stopped or left; both waits are bounded.
    await Promise.all([untilAborted(options.delayMs, options.hurry), this.#opening]);
    this.control.shutdown('drain', options.leaveEngines);
    const drained = this.#front.drain();
    const quiet = await this.control.untilQuiet(this.#config.server.shutdownDrainMs, options.hurry);
    this.control.shutdown('stop', options.leaveEngines);
    const gone = await this.control.untilEnginesGone(ENGINES_GONE_LIMIT_MS);
    if (!gone)
      this.#log('error', 'not every engine could be verified gone; the next gateway will look for them');
    await this.#front.close();
    await drained;
    this.control.close();
    this.#devices.close();
    await this.#costs.flush();
    await this.#runtime.close();
    await this.#recorder?.close();
    return quiet && gone;
  }

  /** Reads the devices, again and again until it succeeds or the gateway ends; then adopts and serves. Never rejects. */
  async #readDevices(): Promise<void> {
    for (let retryMs = DEVICES_RETRY_MS; ; retryMs = Math.min(2 * retryMs, DEVICES_RETRY_MS_MAX)) {
      if (await this.#readDevicesOnce()) break;
      if (this.#life === 'ending') return;
      this.#log('error', `the devices could not be read; trying again in ${retryMs / 1000} s`);
      await untilAborted(retryMs, this.#ending.signal);
    }
    if (this.#life === 'ending') return;
    this.#logDevices();
    const adopted = await this.control.adopt(this.#inventory.devices);
    if (adopted > 0) this.#log('info', `${adopted} engine(s) of an earlier gateway serve on`);
    if (this.#life === 'opening') this.#life = 'serving';
    this.#devices.follow({
      memory: (readings) => {
        this.#memory = readings;
        this.#heedForeignMemory(readings);
      },
      inventory: (inventory) => this.#inventoryChanged(inventory),
    });
  }

  /** Says what there is to share, and warns where engines for GPUs would run on the host's memory unasked. */
  #logDevices(): void {
    for (const { id, name, totalMib, budgetMib } of this.#inventory.devices) {
      this.#log('info', `device ${id}: ${name}, ${totalMib} MiB, of which ${budgetMib} MiB may be reserved`);
    }
    const onHost = this.#inventory.devices.some(({ source }) => source === 'host');
    const vllm = [...this.#config.models.values()].some(({ engine }) => engine === 'vllm');
    if (!onHost || !vllm || this.#config.devices.source !== 'auto') return;
    this.#log(
      'warn',
      "no GPU was found, so vLLM will run on the host's memory; if there is a GPU, nvidia-smi must be on the PATH of the gateway; if this is meant, set devices.source to host",
    );
  }

  #inventoryChanged(inventory: DeviceInventory): void {
    const told = new Set(this.#inventory.conditions.map(({ text }) => text));
    this.#inventory = inventory;
    for (const { code, text } of inventory.conditions) {
      if (!told.has(text)) this.#log('warn', text, { condition: code });
    }
    if (this.#life === 'serving' && inventory.complete) {
      this.control.devicesChanged(inventory.devices, this.#foreignMib);
    }
  }

  /**
   * Tells the scheduler what foreign programs leave, in coarse steps (their every breath must not cost an engine), and
   * only where the driver names the processes: a mere difference of the device could be our own engines' growth.
   */
  #heedForeignMemory(readings: readonly MemoryReading[]): void {
    if (this.#life !== 'serving') return;
    let changed = false;
    for (const { id, foreignMib, foreignSource } of readings) {
      const known = this.#foreignMib.get(id) ?? 0;
      if (foreignMib === null || foreignSource !== 'per_process') continue;
      if (Math.abs(foreignMib - known) < FOREIGN_STEP_MIB) continue;
      this.#foreignMib.set(id, foreignMib);
      changed = true;
    }
    if (changed) this.control.devicesChanged(this.#inventory.devices, this.#foreignMib);
  }

  async #readDevicesOnce(): Promise<boolean> {
    let inventory: DeviceInventory;
    try {
      inventory = await this.#devices.read();
    } catch (error) {
      this.#log('error', `reading the devices failed: ${String(error)}`);
      return false;
    }
    this.#inventoryChanged(inventory);
    // Servers that others run need no device: with nothing else configured there is nothing to wait for.
    const needsDevices = [...this.#config.models.values()].some((model) => model.need.deviceCount > 0);
    return inventory.complete || !needsDevices;
  }

  #status(): object {
    return gatewayStatus({
      state: this.control.state,
      config: this.#config,
      devices: this.#inventory.devices,
      conditions: this.#inventory.conditions,
      memory: this.#memory,
      clock: this.#clock,
      version: VERSION,
    });
  }
}

function costsFile(config: ResolvedConfig): string {
  return join(config.runtime.stateDirectory, 'learned-costs.json');
}

async function openKeys(config: ResolvedConfig, log: Log): Promise<Result<StaticKeys | null, string>> {
  const file = config.server.apiKeysFile;
  if (file === null) return success(null);
  const loaded = await loadStaticKeys(file);
  if (!loaded.ok) {
    const faults = loaded.error.map(({ line, text }) =>
      line === 0 ? `${file}: ${text}` : `${file}:${line}: ${text}`,
    );
    return failure(faults.join('\n'));
  }
  for (const warning of loaded.value.warnings) log('warn', warning);
  return success(loaded.value.keys);
}

/** Unique for this run: the time, and enough chance that two gateways of one second differ. */
function newLaunchPrefix(): string {
  return Date.now().toString(36) + randomBytes(3).toString('hex');
}

/** Resolves after `delayMs`, or at once when the signal aborts. */
function untilAborted(delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted || delayMs <= 0) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, delayMs);
    signal.addEventListener('abort', end, { once: true });
  });
}
