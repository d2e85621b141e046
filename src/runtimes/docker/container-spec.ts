/** A launch as options for `POST /containers/create`. Pure: the same launch gives the same container. */
import type { ContainerCreateOptions, DeviceRequest, HostConfig } from 'dockerode';
import type { DockerConfig } from '../../config/resolved-config.ts';
import { LAUNCH_ID_VARIABLE, STATE_ID_VARIABLE } from '../process/process-table.ts';
import type { LaunchSpec } from '../runtime.ts';
import type { EngineMounts } from './engine-mounts.ts';
import { containerName, labelsOf, type ReachKind } from './marks.ts';

/** Host memory running out shall end an engine, which can be started again, before the gateway. */
const ENGINE_OOM_SCORE_ADJUSTMENT = 500;
/** Threads of CUDA libraries need more than the usual stack. */
const STACK_BYTES = 64 * 1024 * 1024;
/** Older files of output that Docker keeps beside the one it writes. */
const OUTPUT_FILES = 2;

/** Variable by which vLLM is told the key that it asks of its callers. */
export const API_KEY_VARIABLE = 'VLLM_API_KEY';

export interface ContainerPlan {
  readonly spec: LaunchSpec;
  readonly config: DockerConfig;
  readonly stateId: string;
  readonly image: string;
  readonly reach: ReachKind;
  readonly mounts: EngineMounts;
  /** Key of this launch, where others reach the engine too; null: none needed. */
  readonly key: string | null;
  /** The launch's own network; null: it joins the configured one. */
  readonly launchNetwork: string | null;
  readonly outputLimitBytes: number;
  /** Groups that may use AMD devices, as numbers or names of the image. */
  readonly deviceGroups: readonly string[];
  /** False where this Docker may not raise limits (rootless). */
  readonly raisesLimits: boolean;
}

export function containerOptions(plan: ContainerPlan): ContainerCreateOptions & { readonly name: string } {
  const { spec, config, stateId } = plan;
  const [program = '', ...rest] = spec.argv;
  const isPublished = plan.reach === 'port' && spec.listen.kind === 'tcp';
  const exposed = `${config.port}/tcp`;
  return {
    name: containerName(config.containerPrefix, spec.model, spec.launchId),
    Image: plan.image,
    Entrypoint: [program],
    Cmd: rest,
    Env: Object.entries(environmentOf(plan)).map(([name, value]) => `${name}=${value}`),
    Labels: { ...labelsOf(spec, stateId, plan.reach) },
    StopSignal: 'SIGTERM',
    AttachStdout: false,
    AttachStderr: false,
    Tty: false,
    OpenStdin: false,
    ...(config.user === null ? {} : { User: config.user }),
    ...(isPublished ? { ExposedPorts: { [exposed]: {} } } : {}),
    HostConfig: {
      ...hostConfigOf(plan),
      ...(isPublished ? { PortBindings: { [exposed]: [{ HostIp: '127.0.0.1', HostPort: '' }] } } : {}),
    },
  };
}

function environmentOf({ spec, stateId, mounts, key }: ContainerPlan): Readonly<Record<string, string>> {
  return {
    ...mounts.environment,
    ...spec.environment,
    ...(key === null ? {} : { [API_KEY_VARIABLE]: key }),
    [LAUNCH_ID_VARIABLE]: spec.launchId,
    [STATE_ID_VARIABLE]: stateId,
  };
}

function hostConfigOf(plan: ContainerPlan): HostConfig {
  const { config } = plan;
  const network = plan.launchNetwork ?? config.network;
  return {
    Mounts: [...plan.mounts.mounts],
    ShmSize: config.shmBytes,
    // Reaps what vLLM's workers leave behind, and passes signals on to a program that is not made to be PID 1.
    Init: true,
    RestartPolicy: { Name: 'no' },
    AutoRemove: false,
    LogConfig: {
      Type: 'json-file',
      Config: { 'max-size': String(plan.outputLimitBytes), 'max-file': String(OUTPUT_FILES) },
    },
    OomScoreAdj: ENGINE_OOM_SCORE_ADJUSTMENT,
    IpcMode: 'private',
    Privileged: false,
    SecurityOpt: ['no-new-privileges'],
    ...(network === null ? {} : { NetworkMode: network }),
    ...(plan.raisesLimits ? { Ulimits: raisedLimits() } : {}),
    ...deviceConfigOf(plan),
  };
}

function raisedLimits(): NonNullable<HostConfig['Ulimits']> {
  return [
    { Name: 'memlock', Soft: -1, Hard: -1 },
    { Name: 'stack', Soft: STACK_BYTES, Hard: STACK_BYTES },
  ];
}

function deviceConfigOf({ spec, deviceGroups }: ContainerPlan): Partial<HostConfig> {
  if (spec.deviceIds.length === 0) return {};
  if (spec.deviceSource === 'nvidia') return { DeviceRequests: [nvidiaRequest(spec.deviceIds)] };
  if (spec.deviceSource !== 'amd') return {};
  // AMD's devices are files that all cards share; which cards are used stands in the engine's environment.
  return { Devices: ['/dev/kfd', '/dev/dri'].map(deviceOf), GroupAdd: [...deviceGroups] };
}

function nvidiaRequest(deviceIds: readonly string[]): DeviceRequest {
  return { Driver: 'nvidia', DeviceIDs: [...deviceIds], Capabilities: [['gpu']] };
}

function deviceOf(path: string): object {
  return { PathOnHost: path, PathInContainer: path, CgroupPermissions: 'rwm' };
}
