/** Why a container could not be made or started, as the launch's failure with a remedy. Pure. */
import type { LaunchResult } from '../runtime.ts';
import type { DockerFault } from './docker-fault.ts';

export type LaunchFailure = Extract<LaunchResult, { readonly kind: 'failed' }>;

export function unreachableFailure(host: string, { text }: Pick<DockerFault, 'text'>): LaunchFailure {
  return {
    kind: 'failed',
    cause: 'resources',
    detail: `Docker does not answer at ${host} (${text}): is its daemon running, and may the gateway use it?`,
  };
}

export function programMissing(program: string, image: string): LaunchFailure {
  return {
    kind: 'failed',
    cause: 'executable_missing',
    detail: `${program} cannot be found in the image ${image}: choose an image that has it (\`image\`), or mend \`command\` or \`vllm_executable\``,
  };
}

export function programForbidden(program: string, image: string): LaunchFailure {
  return {
    kind: 'failed',
    cause: 'permission',
    detail: `${program} of the image ${image} may not be executed`,
  };
}

interface Remedy {
  readonly pattern: RegExp;
  readonly cause: LaunchFailure['cause'];
  readonly remedy: string;
}

const REMEDIES: readonly Remedy[] = [
  {
    pattern: /could not select device driver.*gpu|nvidia-container-(cli|runtime)|libnvidia-container/is,
    cause: 'resources',
    remedy:
      'Docker cannot hand over NVIDIA devices: install nvidia-container-toolkit on its host, run `nvidia-ctk runtime configure --runtime=docker` and restart Docker; `nvidia-smi -L` there must list the device',
  },
  {
    pattern: /\/dev\/(kfd|dri)/,
    cause: 'resources',
    remedy:
      "Docker's host has no AMD devices there: install its driver (ROCm), and look whether /dev/kfd exists",
  },
  {
    pattern: /unable to find group/i,
    cause: 'resources',
    remedy: 'the image has no group for the devices: use an image made for ROCm',
  },
  {
    pattern: /bind source path does not exist|invalid mount config|mount source/i,
    cause: 'resources',
    remedy: 'the path must exist on the host where Docker runs',
  },
  {
    pattern: /network .*not found|could not find network/i,
    cause: 'resources',
    remedy:
      'make the network (`docker network create`), or set `runtime.docker.network` (DOCKER_NETWORK_NAME)',
  },
  {
    pattern: /address pools? (have been )?fully subnetted|non-overlapping IPv4 address pool/i,
    cause: 'resources',
    remedy:
      'Docker has no subnet left for one more network: remove unused ones (`docker network prune`) or widen `default-address-pools`',
  },
  {
    pattern: /is already in use by container/i,
    cause: 'resources',
    remedy: 'a container of that name is there already and is not ours: rename it or set another prefix',
  },
  {
    pattern: /no space left on device/i,
    cause: 'resources',
    remedy: "the disk of Docker's host is full: make room there (`docker system df`)",
  },
  {
    pattern: /no such image/i,
    cause: 'image_missing',
    remedy: 'it was removed in the meantime',
  },
  {
    pattern: /executable file not found|exec: .*no such file or directory|exec format error/i,
    cause: 'executable_missing',
    remedy: 'choose an image that has the program, for this machine',
  },
  { pattern: /permission denied/i, cause: 'permission', remedy: 'look at the rights of what it names' },
];

export function launchFailureOf(host: string, fault: DockerFault): LaunchFailure {
  if (fault.status === null && fault.isUnreachable) return unreachableFailure(host, fault);
  const found = REMEDIES.find(({ pattern }) => pattern.test(fault.text));
  return {
    kind: 'failed',
    cause: found?.cause ?? 'resources',
    detail:
      found === undefined
        ? `Docker refuses the container: ${fault.text}`
        : `Docker refuses the container: ${found.remedy} (${fault.text})`,
  };
}

/** This Docker may not raise limits (rootless, or itself in a container): the engine has to do without. */
export function isLimitRefused({ text }: DockerFault): boolean {
  return /rlimit|ulimit/i.test(text);
}
