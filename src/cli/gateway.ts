/**
 * The composition root: makes one gateway of configuration, runtime, devices, control loop and front. Everything that is
 * replaceable is chosen here and nowhere else.
 */
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadStaticKeys, type StaticKeys } from '../access/static-keys.ts';
import type { ResolvedConfig, ResolvedModel } from '../config/resolved-config.ts';
import { startupLines } from '../config/startup-lines.ts';
import { BackgroundResponses, type EndedBackground } from '../control/background-responses.ts';
import { ControlLoop, type ControlPorts } from '../control/control-loop.ts';
import { CostKeeper } from '../control/cost-keeper.ts';
import { DecisionHistory } from '../control/decision-history.ts';
import { createDecisionLines } from '../control/decision-lines.ts';
import { ModelSizer } from '../control/model-sizer.ts';
import { launchSignature } from '../control/policies.ts';
import { RunRecorder } from '../control/run-record.ts';
import { factsReader } from '../control/sizer-facts.ts';
import { standingEngine } from '../control/standing-engine.ts';
import { gatewayStatus } from '../control/status.ts';
import { createSystemClock } from '../control/system-clock.ts';
import { failure, type Result, success } from '../core/result.ts';
import type { DeviceSource } from '../devices/device.ts';
import { createDeviceSource } from '../devices/device-source.ts';
import { createEngineHttp } from '../engines/engine-http.ts';
import { createEngineRegistry } from '../engines/registry.ts';
import { createNameResolver } from '../http/names.ts';
import type { ProgressSettings } from '../http/progress-answer.ts';
import type { RequestEnd } from '../http/request-observer.ts';
import { ResponseDesk } from '../http/response-desk.ts';
import { ResponseOwners } from '../http/response-owners.ts';
import { createFront, type Front } from '../http/server.ts';
import { certificateWarning, TlsFiles } from '../http/tls-files.ts';
import { createEndpoint } from '../proxy/endpoint.ts';
import type { Runtime } from '../runtimes/runtime.ts';
import { readLearnedCosts } from '../store/learned-costs.ts';
import type { StateStore } from '../store/state-store.ts';
import type { ActivityLog } from '../telemetry/activity.ts';
import type { Log } from '../telemetry/log.ts';
import { GatewayMetrics } from '../telemetry/metrics.ts';
import { createRequestLog } from '../telemetry/request-log.ts';
import { DeviceWatch } from './device-watch.ts';
import { type GatewayState, openGatewayState } from './gateway-state.ts';
import { tellDevices } from './launch-moves.ts';
import { addressText } from './listen-addresses.ts';
import { modelCards, modelGauges } from './model-cards.ts';
import { endEnginesElsewhere, openRuntime } from './open-runtime.ts';
import { untilAborted } from './until-aborted.ts';
import { utilityToolOpener } from './utility-tool.ts';
import { VERSION } from './version.ts';

/** Events that measure what a move costs. */
const COSTLY_EVENTS: ReadonlySet<string> = new Set(['ready', 'stopped', 'slept', 'woke']);

/** What of a background response comes after its create, in the activity log. */
const BACKGROUND_ROUTE = '/v1/responses (background)';

/** Engines that were told to stop must be gone within their grace, the kill and its verification. */
const ENGINES_GONE_LIMIT_MS = 30_000;
/** For a model that the configuration does not have. */
const NO_PROGRESS: ProgressSettings = { progress: 'off', progressAfterMs: 0 };

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
  readonly #decisions: DecisionHistory;
  readonly #store: StateStore;
  readonly #activity: ActivityLog | null;
  readonly control: ControlLoop;
  readonly #front: Front;
  readonly #tls: TlsFiles | null;
  readonly #background: BackgroundResponses;
  readonly #devices: DeviceSource;
  readonly #startedS = Math.floor(Date.now() / 1000);
  readonly #watch: DeviceWatch;
  readonly #ending = new AbortController();
  #opening: Promise<void> = Promise.resolve();

  /** The error is a sentence for the operator. */
  static async open(options: GatewayOptions): Promise<Result<Gateway, string>> {
    const { config } = options;
    const keys = await openKeys(config, options.log);
    if (!keys.ok) return keys;
    const tls = await openTls(config, options.log);
    if (!tls.ok) return tls;
    const state = await openGatewayState(config, options.log);
    if (!state.ok) return state;
    const { store } = state.value;
    const setup = { config, store, environment: options.environment, log: options.log };
    const runtime = await openRuntime(setup);
    if (!runtime.ok) {
      await store.close();
      return runtime;
    }
    await endEnginesElsewhere(setup);
    return success(new Gateway(options, runtime.value, keys.value, tls.value, state.value));
  }

  private constructor(
    options: GatewayOptions,
    runtime: Runtime,
    keys: StaticKeys | null,
    tls: TlsFiles | null,
    state: GatewayState,
  ) {
    const { config, log, environment, recordFile } = options;
    this.#config = config;
    this.#log = log;
    this.#runtime = runtime;
    this.#tls = tls;
    this.#recorder = recordFile === null ? null : new RunRecorder(recordFile, (text) => log('error', text));
    const ledgerDirectory = join(config.runtime.stateDirectory, 'ledger');
    this.#devices = createDeviceSource({
      config: config.devices,
      environment,
      ledgerDirectory,
      clock: this.#clock,
      ownerOf: (pid) => runtime.ownerOf(pid),
      processesOf: () => runtime.processes(),
      openUtilityTool: utilityToolOpener(config, runtime, state.store.stateId, environment),
    });
    this.#store = state.store;
    this.#activity = state.activity;
    this.#costs = new CostKeeper(this.#clock, state.store.database);
    this.#decisions = new DecisionHistory(this.#clock);
    const metrics = new GatewayMetrics(
      () => this.#clock.nowMs(),
      () => modelGauges(this.control.state),
      () => this.#activity?.dropped ?? 0,
    );
    for (const notice of config.notices) if (notice.level === 'error') metrics.configurationError();
    this.control = this.#createControl(options, state, metrics);
    this.#watch = new DeviceWatch({
      config,
      devices: this.#devices,
      control: this.control,
      clock: this.#clock,
      log,
      ending: this.#ending.signal,
    });
    this.#background = new BackgroundResponses({
      gate: this.control,
      clock: this.#clock,
      log,
      ended: (ended) => this.#noteBackground(ended),
    });
    metrics.countBackground(() => this.#background.counts());
    const logRequest = createRequestLog(log, config.log.level);
    this.#front = createFront({
      server: config.server,
      spoolDirectory: tmpdir(),
      gate: this.control,
      names: createNameResolver(config),
      responses: new ResponseDesk({
        models: config.models,
        owners: new ResponseOwners((model) => standingEngine(this.control.state, model)),
        background: this.#background,
        gate: this.control,
      }),
      keys,
      clock: this.#clock,
      wsIdleTimeoutMs: (model) => config.models.get(model)?.wsIdleTimeoutMs ?? Number.POSITIVE_INFINITY,
      notice: log,
      progressOf: (model) => config.models.get(model) ?? NO_PROGRESS,
      data: {
        models: () => modelCards(this.control.state, config, this.#startedS),
        ready: () => this.#watch.isFollowing && !this.#ending.signal.aborted,
        metricsText: () => metrics.text(),
        status: () => this.#status(),
      },
      observer: {
        requestEnded: (end) => {
          metrics.requestEnded(end);
          logRequest(end);
          this.#noteActivity(end);
        },
      },
    });
  }

  #createControl(options: GatewayOptions, state: GatewayState, metrics: GatewayMetrics): ControlLoop {
    const { config, log, environment } = options;
    const { stateDirectory } = config.runtime;
    const engineFor = createEngineRegistry(environment, this.#runtime.capabilities.sharesHost);
    const engineOf = (model: ResolvedModel) => engineFor(model.engine);
    const logDecisions = createDecisionLines(log, config.log.level);
    const ports: ControlPorts = {
      clock: this.#clock,
      runtime: this.#runtime,
      engineOf,
      readMemory: () => this.#devices.memory(),
      readHost: () => this.#devices.host(),
      createSizer: (onNeed) =>
        new ModelSizer({
          config,
          engineOf,
          isReachedPrivately: (model) => {
            const { isPrivate, unixSockets } = this.#runtime.capabilities;
            return isPrivate || (unixSockets && engineOf(model).listensOn(model) === 'unix');
          },
          readFacts: factsReader(environment, stateDirectory),
          footprints: state.footprints,
          clock: this.#clock,
          signatureOf: launchSignature,
          onNeed,
          log,
        }),
      deviceEnvironment: this.#devices.engineEnvironment,
      openHttp: ({ listen, authorization }) =>
        createEngineHttp(listen, authorization === null ? {} : { authorization }),
      openEndpoint: (model, endpointOptions) => {
        const endpoint = createEndpoint(endpointOptions);
        metrics.poolOpened(model, endpoint.counters);
        return endpoint;
      },
      log,
      observe: (event, effects) => {
        metrics.observed(event, effects);
        this.#decisions.observed(event, effects);
        logDecisions(effects);
        if (COSTLY_EVENTS.has(event.kind)) this.#costs.changed(this.control.state);
        tellDevices(this.#devices, event, effects);
      },
      recorder: this.#recorder,
      openFetcher: async () => {
        const { createThreadedFetcher } = await import('../weights/fetch-thread.ts');
        return createThreadedFetcher({ environment, log });
      },
    };
    const learned = readLearnedCosts(state.store.database);
    return new ControlLoop(ports, { config, learned, launchPrefix: newLaunchPrefix(), version: VERSION });
  }

  /**
   * Listens first, then reads the devices: until then requests wait and /ready answers 503. Resolves with the address,
   * such as `http://127.0.0.1:9000`.
   */
  async start(): Promise<string> {
    for (const line of startupLines(this.#config)) this.#log('info', line);
    const { host, port, socketPath } = this.#config.server;
    const address = addressText(await this.#front.listen(host, port, this.#tls), this.#tls !== null);
    if (socketPath !== null) await this.#front.listenOnSocket(socketPath);
    void this.#store.lock.tellAddress(address);
    this.#opening = this.#watch.open();
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
    this.#ending.abort();
    // Engines that are being adopted must be known before they can be stopped or left; both waits are bounded.
    await Promise.all([untilAborted(options.delayMs, options.hurry), this.#opening]);
    this.control.shutdown('drain', options.leaveEngines);
    // Engines that live on work on; nobody asks them any more.
    if (options.leaveEngines) this.#background.letGo();
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
    this.#costs.flush();
    await this.#activity?.close();
    await this.#runtime.close();
    await this.#store.close();
    await this.#recorder?.close();
    return quiet && gone;
  }

  /** Own routes are asked all the time by those who watch us, and say nothing. */
  #noteActivity(end: RequestEnd): void {
    if (this.#activity === null || end.outcome === 'own') return;
    // Field by field: spread parts cost a microsecond of each request.
    this.#activity.add({
      endedWallMs: this.#clock.wallMs(),
      clientRequestId: end.clientRequestId,
      principal: end.principal,
      model: end.model,
      route: end.label,
      method: end.method,
      outcome: end.outcome,
      status: end.status,
      code: end.code,
      load: end.load,
      streamed: end.streamed,
      waitMs: end.waitMs,
      ttfbMs: end.ttfbMs,
      durationMs: end.durationMs,
      requestBytes: end.requestBytes,
      responseBytes: end.responseBytes,
      attempts: end.attempts,
      clientAddress: end.clientAddress,
    });
  }

  /** Its create has a row of its own, which says when it was asked for. */
  #noteBackground({ model, responseId, clientRequestId, durationMs, end }: EndedBackground): void {
    this.#log('info', `background response ${responseId} of ${model} has ended: ${end.status}`, {
      ...{ model, request: clientRequestId, response: responseId, duration_ms: Math.round(durationMs) },
    });
    this.#activity?.add({
      ...{ endedWallMs: this.#clock.wallMs(), clientRequestId, principal: null, model, clientAddress: null },
      ...{ route: BACKGROUND_ROUTE, method: '', outcome: end.outcome, status: 0, code: null, load: null },
      ...{
        streamed: false,
        waitMs: 0,
        ttfbMs: null,
        durationMs,
        requestBytes: 0,
        responseBytes: 0,
        attempts: 1,
      },
    });
  }

  #status(): object {
    return gatewayStatus({
      state: this.control.state,
      config: this.#config,
      devices: this.#watch.inventory.devices,
      conditions: this.#watch.inventory.conditions,
      memory: this.#watch.memory,
      host: this.#watch.host,
      sizes: this.control.sizes(),
      remedyOf: (model) => this.control.remedyOf(model),
      decisionsOf: (model) => this.#decisions.of(model),
      containerOf: (launchId) =>
        this.#runtime.kind === 'docker' ? containerName(this.control.referenceOf(launchId)) : null,
      clock: this.#clock,
      version: VERSION,
    });
  }
}

/** Of a runtime's words about a container. */
function containerName(reference: string | null): string | null {
  return reference?.replace(/^container /, '') ?? null;
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

async function openTls(config: ResolvedConfig, log: Log): Promise<Result<TlsFiles | null, string>> {
  const { tls } = config.server;
  if (tls === null) return success(null);
  const opened = await TlsFiles.open(tls);
  const warning = opened.ok ? certificateWarning(opened.value.pair, Date.now()) : null;
  if (warning !== null) log('warn', warning);
  return opened;
}

/** Unique for this run: the time, and enough chance that two gateways of one second differ. */
function newLaunchPrefix(): string {
  return Date.now().toString(36) + randomBytes(3).toString('hex');
}
