/**
 * Gathers what `doctor` judges. It changes nothing on the machine, asks no network (a port is tried by listening on it for a
 * moment), and every step has a limit.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Environment } from '../config/environment.ts';
import { gatherHostFacts } from '../config/host-facts.ts';
import { redactedArguments } from '../config/redact.ts';
import type { DevicesConfig, ResolvedConfig, ResolvedModel } from '../config/resolved-config.ts';
import type { Clock } from '../core/clock.ts';
import { createDeviceSource } from '../devices/device-source.ts';
import type { DeviceTools } from '../devices/fallback-tool.ts';
import { parseDriverVersion } from '../devices/nvidia-parse.ts';
import { createToolRunner } from '../devices/run-tool.ts';
import { inheritedEnvironment } from '../engines/engine-environment.ts';
import { installedParsers } from '../engines/vllm/parsers-registry.ts';
import { readChatFacts } from '../readers/chat-facts.ts';
import { hubAccess } from '../readers/hub-access.ts';
import { parseModelName } from '../readers/model-name.ts';
import { openDockerConnection } from '../runtimes/docker/connection.ts';
import { createUtilityTool } from '../runtimes/docker/utility-tool.ts';
import { dockerFacts } from './gather-docker.ts';
import {
  clockFacts,
  diskFacts,
  hubCacheFacts,
  limitFacts,
  sharedMemoryMib,
  stateFacts,
} from './gather-machine.ts';
import { serviceFacts } from './gather-service.ts';
import type {
  ConfigurationFacts,
  DeviceFacts,
  MachineFacts,
  MemoryFacts,
  ModelFileFacts,
  PortFacts,
  VllmFacts,
} from './machine-facts.ts';

/** A first `vllm --version` after the boot reads some hundred megabytes of Python. */
const VERSION_LIMIT_MS = 60_000;
const TOOL_LIMIT_MS = 15_000;
const TEXT_CHARS_MAX = 300;
/** Its containers are nobody's but its own. */
const DOCTOR_ID = 'doctor';
const MIB = 1024 * 1024;

export interface Subject {
  readonly config: ResolvedConfig;
  readonly configuration: ConfigurationFacts;
  readonly environment: Environment;
  readonly clock: Clock;
}

export async function gatherFacts(subject: Subject): Promise<MachineFacts> {
  const { config, configuration, environment } = subject;
  const models = [...config.models.values()];
  const access = await hubAccess(environment);
  const { kind: runtimeKind, stateDirectory } = config.runtime;
  const state = await stateFacts(stateDirectory);
  const { isContainer } = await gatherHostFacts(environment);
  const kept = [
    { use: 'gateway state', path: state.path },
    { use: 'model weights', path: access.cacheDirectory },
  ];
  const [vllm, devices, docker, service, memory, disks, hubCache, port, clock] = await Promise.all([
    runtimeKind === 'process' ? vllmFacts(models, environment) : [],
    deviceFacts(subject),
    runtimeKind === 'docker' ? dockerFacts(config, kept, environment) : null,
    serviceFacts(state.isOwnerHere ? state.ownerPid : null, isContainer, environment),
    memoryFacts(subject),
    diskFacts(environment, access.cacheDirectory, stateDirectory),
    hubCacheFacts(access.cacheDirectory),
    portFacts(config.server.host, config.server.port),
    clockFacts(),
  ]);
  return {
    configuration,
    nodeVersion: process.versions.node,
    platform: process.platform,
    hasProc: existsSync('/proc/self/stat'),
    runtimeKind,
    service,
    docker,
    wantsNvidia:
      config.devices.source === 'nvidia' || devices.devices.some(({ source }) => source === 'nvidia'),
    vllm,
    devices,
    devicesPerEngineMax: Math.max(0, ...models.map(({ need }) => need.deviceCount)),
    memory,
    disks,
    hubCache,
    models: models.flatMap((model) => modelFacts(model, environment)),
    hubToken: { isSet: access.token !== null, isOffline: access.isOffline },
    port,
    limits: limitFacts(connectionsMax(models)),
    state,
    clock,
  };
}

/** Each running request holds a connection of its client and one to its engine, each waiting one the client's. */
function connectionsMax(models: readonly ResolvedModel[]): number {
  return models.reduce((sum, { maxConcurrent, queueSize }) => sum + 2 * maxConcurrent + queueSize, 0);
}

async function vllmFacts(
  models: readonly ResolvedModel[],
  environment: Environment,
): Promise<readonly VllmFacts[]> {
  const groups = new Map<string, ResolvedModel[]>();
  for (const model of models) {
    if (model.engine !== 'vllm' || model.command !== null || model.url !== null) continue;
    const key = JSON.stringify(model.vllm.executable);
    groups.set(key, [...(groups.get(key) ?? []), model]);
  }
  return Promise.all([...groups.values()].map((group) => installationFacts(group, environment)));
}

async function installationFacts(
  models: readonly ResolvedModel[],
  environment: Environment,
): Promise<VllmFacts> {
  const [first] = models;
  const executable = first?.vllm.executable ?? [];
  const engineEnvironment = { ...inheritedEnvironment(environment), ...first?.environment };
  const run = createToolRunner(engineEnvironment);
  const installed = installedParsers(executable, engineEnvironment);
  return {
    executable: redactedArguments(executable).join(' '),
    models: models.map(({ name }) => name),
    version: versionOf(await run([...executable, '--version'], VERSION_LIMIT_MS)),
    unknownParsers: models.flatMap(({ name, vllm }) => {
      const isOpen = vllm.extraArgs.some((word) => /^--(tool|reasoning)[-_]parser[-_]plugin/.test(word));
      if (installed === null || isOpen) return [];
      const named = [
        { parser: vllm.toolParser, known: installed.tool },
        { parser: vllm.reasoningParser, known: installed.reasoning },
      ];
      return named
        .filter(({ parser, known }) => parser !== 'auto' && parser !== 'off' && !known.has(parser))
        .map(({ parser }) => ({ model: name, parser }));
    }),
  };
}

type Ran = Awaited<ReturnType<ReturnType<typeof createToolRunner>>>;

/** Libraries print warnings before it, so the version is the last line. */
function versionOf(ran: Ran): VllmFacts['version'] {
  if (ran.kind === 'missing') return { kind: 'missing' };
  if (ran.kind === 'hung') return { kind: 'hung', timeLimitS: ran.timeLimitMs / 1000 };
  const line = lastLine(ran.stdout);
  if (ran.code === 0 && line !== '') return { kind: 'answered', text: `vLLM ${line}` };
  return { kind: 'failed', text: lastLine(ran.stderr) || `exit code ${ran.code}` };
}

function lastLine(text: string): string {
  return (text.trim().split('\n').at(-1) ?? '').slice(0, TEXT_CHARS_MAX);
}

/** Simulated devices keep a ledger; theirs is made apart, since a gateway may be using its own. */
async function deviceFacts({
  config: { devices: config, runtime },
  environment,
  clock,
}: Subject): Promise<DeviceFacts> {
  const ledgers = await mkdtemp(join(tmpdir(), 'vllm-gateway-doctor-'));
  try {
    const source = createDeviceSource({
      config,
      environment,
      ledgerDirectory: ledgers,
      clock,
      ownerOf: () => null,
      openUtilityTool: runtime.kind === 'docker' ? () => utilityTool(runtime, environment) : undefined,
    });
    const { devices, conditions, complete } = await source.read();
    const readings = devices.length === 0 ? [] : await source.memory();
    const isNvidia = devices.some((device) => device.source === 'nvidia');
    return {
      devices: devices.map(({ id, name, source: kind, totalMib }) => ({
        id,
        name,
        source: kind,
        totalMib,
        usedMib: readings.find((reading) => reading.id === id)?.usedMib ?? null,
      })),
      conditions: conditions.map(({ text }) => text),
      isComplete: complete,
      driverVersion: isNvidia ? await driverVersion(config.nvidiaSmi, environment) : null,
      sharedMemoryMib: runtime.kind === 'docker' ? runtime.docker.shmBytes / MIB : await sharedMemoryMib(),
    };
  } finally {
    await rm(ledgers, { recursive: true, force: true });
  }
}

/** As the gateway has it, but for the image: a look around pulls none. */
async function utilityTool(
  { docker }: ResolvedConfig['runtime'],
  environment: Environment,
): Promise<DeviceTools | null> {
  const { utilityImage } = docker;
  if (utilityImage === null) return null;
  const opened = await openDockerConnection(docker.host, { ...environment });
  if (!opened.ok) return null;
  return createUtilityTool({
    connection: opened.value,
    image: utilityImage,
    stateId: DOCTOR_ID,
    prepare: async () =>
      `the image ${utilityImage}, in which nvidia-smi is run, is not there: docker pull ${utilityImage}`,
  });
}

async function driverVersion(nvidiaSmi: readonly string[], environment: Environment): Promise<string | null> {
  const query = [...nvidiaSmi, '--query-gpu=driver_version', '--format=csv,noheader'];
  const ran = await createToolRunner(environment)(query, TOOL_LIMIT_MS);
  return ran.kind === 'exited' && ran.code === 0 ? parseDriverVersion(ran.stdout) : null;
}

/** The host as the gateway sees it, control groups heeded, whatever the configured devices are. */
async function memoryFacts({
  config: { devices: config },
  environment,
  clock,
}: Subject): Promise<MemoryFacts> {
  const hostOnly: DevicesConfig = { ...config, source: 'host', pools: new Map(), memoryLimitMib: new Map() };
  const source = createDeviceSource({
    config: hostOnly,
    environment,
    ledgerDirectory: tmpdir(),
    clock,
    ownerOf: () => null,
  });
  const [host] = (await source.read()).devices;
  const [reading] = await source.memory();
  return {
    totalMib: host?.totalMib ?? 0,
    usedMib: reading?.usedMib ?? null,
    isLimited: host?.name.includes('control group') ?? false,
  };
}

function modelFacts(model: ResolvedModel, environment: Environment): readonly ModelFileFacts[] {
  const { name, repo, engine } = model;
  if (engine !== 'vllm' || repo === null) return [];
  const own = { ...environment, ...model.environment };
  const hasToken = (own['HF_TOKEN'] ?? own['HUGGING_FACE_HUB_TOKEN'] ?? '') !== '';
  return [{ model: name, repo, place: placeOf(repo, own), hasToken }];
}

function placeOf(repo: string, environment: Environment): ModelFileFacts['place'] {
  const parsed = parseModelName(repo, existsSync);
  if (parsed === null) return 'unreadable_name';
  if (parsed.kind === 'path') return existsSync(parsed.path) ? 'path' : 'missing_path';
  return readChatFacts(repo, { environment, revision: null }) === null ? 'hub' : 'cached';
}

/** Listens for a moment, as the gateway would; nothing connects. */
function portFacts(host: string, port: number): Promise<PortFacts> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) =>
      resolve({ host, port, outcome: 'code' in error ? String(error.code) : error.message }),
    );
    server.listen({ host, port }, () => server.close(() => resolve({ host, port, outcome: 'free' })));
  });
}
