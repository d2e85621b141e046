/** Opens the Docker runtime: finds the daemon, ourselves and the way to reach engines. Imported only where it is used. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DockerConfig } from '../../config/resolved-config.ts';
import type { Result } from '../../core/result.ts';
import { failure, success } from '../../core/result.ts';
import type { LaunchRecords } from '../../store/launch-records.ts';
import type { Log } from '../../telemetry/log.ts';
import { overridesFilePermissions } from '../file-permissions.ts';
import type { Runtime } from '../runtime.ts';
import type { DockerConnection } from './connection.ts';
import { daemonInfo, openDockerConnection } from './connection.ts';
import { faultOf } from './docker-fault.ts';
import { createDockerRuntime } from './docker-runtime.ts';
import { createLaunchNetworks } from './launch-network.ts';
import type { OwnSurroundings } from './own-container.ts';
import { findOwnContainer, meantNetwork, readSurroundings } from './own-container.ts';
import { createPathMap } from './path-map.ts';
import type { Reach } from './reach.ts';
import { decideReach } from './reach.ts';
import { sharesFiles } from './shared-files.ts';
import { openSocketDirectories } from './socket-directories.ts';

/** A daemon that is just being started (a boot) gets this long. */
const DAEMON_LIMIT_MS = 30_000;
const DAEMON_RETRY_MS = 500;

export interface DockerRuntimeOptions {
  readonly docker: DockerConfig;
  /** For engines' sockets; made if missing, private to this user, of this gateway alone. */
  readonly socketDirectory: string;
  readonly outputLimitBytes: number;
  /** Id of the state directory: what carries it is ours. */
  readonly stateId: string;
  readonly launches: LaunchRecords;
  /** Where the snapshots lie that we fetch, as we see it. */
  readonly hubCache: string;
  readonly log: Log;
  /** For Docker's own variables (DOCKER_CONFIG, DOCKER_CERT_PATH); the process's where absent. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Time for a daemon that does not answer yet. */
  readonly daemonLimitMs?: number;
  /** What we see of ourselves; looked up where absent. */
  readonly surroundings?: OwnSurroundings;
}

/** What we need of `GET /info`. */
interface DaemonInfo {
  readonly id: string;
  readonly kernel: string;
  readonly hostName: string;
  readonly isRootless: boolean;
}

/** The error is a sentence for the operator, with the remedy. */
export async function openDockerRuntime(options: DockerRuntimeOptions): Promise<Result<Runtime, string>> {
  const { docker: config, stateId, log, environment = process.env } = options;
  const connection = await openDockerConnection(config.host, environment);
  if (!connection.ok) return connection;
  const sockets = await openSocketDirectories(options.socketDirectory);
  if (!sockets.ok) return sockets;
  try {
    const info = await infoPatiently(connection.value, options.daemonLimitMs ?? DAEMON_LIMIT_MS, log);
    const surroundings = options.surroundings ?? readSurroundings();
    const own = await findOwnContainer(connection.value, config.gatewayContainer, surroundings);
    const toSource = createPathMap(own?.mounts ?? null);
    const { address } = connection.value;
    const wantsSockets = config.reach === 'auto' || config.reach === 'socket';
    const canSockets: Result<void, string> = wantsSockets
      ? await sharesFiles({
          connection: connection.value,
          sockets: sockets.value,
          toSource,
          stateId,
          image: config.image,
          kernelOfDocker: info.kernel,
          daemonId: info.id,
          log,
        })
      : failure('they are not wanted');
    const reach = decideReach({
      wanted: config.reach,
      // Machines made of a container's image look like one; a container of another engine has a name of its own.
      isInContainer: surroundings.isInContainer && (own !== null || surroundings.hostName !== info.hostName),
      own,
      isLocal: address.kind === 'unix' || address.isLoopback,
      sockets: canSockets,
    });
    if (!reach.ok) return reach;
    log('info', reachText(connection.value.host, reach.value, own?.name ?? null));
    return success(
      createDockerRuntime({
        connection: connection.value,
        config: { ...config, network: meantNetwork(config.network, own) },
        stateId,
        records: options.launches,
        reach: reach.value,
        opensSockets: !ownsSockets(config.user, info),
        toSource,
        sockets: sockets.value,
        networks: createLaunchNetworks(connection.value, stateId, own?.id ?? null),
        hubCache: options.hubCache,
        outputLimitBytes: options.outputLimitBytes,
        environment,
        log,
      }),
    );
  } catch (error) {
    const { text } = faultOf(error);
    return failure(
      `Docker does not answer at ${config.host} (${text}): is its daemon running, and may this user use it (group \`docker\`)? Elsewhere: \`runtime.docker.host\` (DOCKER_HOST)`,
    );
  }
}

async function infoPatiently(connection: DockerConnection, limitMs: number, log: Log): Promise<DaemonInfo> {
  let isTold = false;
  const deadlineMs = performance.now() + limitMs;
  for (;;) {
    try {
      const info = await daemonInfo(connection);
      const { ID, KernelVersion, Name, SecurityOptions } = info as {
        readonly ID?: string;
        readonly Name?: string;
        readonly KernelVersion?: string;
        readonly SecurityOptions?: readonly string[] | null;
      };
      return {
        id: ID ?? '',
        kernel: KernelVersion ?? '',
        hostName: Name ?? '',
        isRootless: SecurityOptions?.some((option) => option.includes('name=rootless')) ?? false,
      };
    } catch (error) {
      const { isUnreachable, text } = faultOf(error);
      const mayCome = isUnreachable && !/EACCES|EPERM/.test(text);
      if (!mayCome || performance.now() >= deadlineMs) throw error;
      if (!isTold) {
        log(
          'warn',
          `Docker does not answer at ${connection.host} (${text}); it is waited for, at most ${Math.ceil(limitMs / 1000)} s`,
        );
      }
      isTold = true;
      await sleep(DAEMON_RETRY_MS);
    }
  }
}

/** A socket belongs to the engine's user, and only its owner and who passes over permissions may connect (vLLM opens it to nobody else). */
function ownsSockets(user: string | null, { isRootless }: DaemonInfo): boolean {
  const uid = process.getuid?.();
  // Root in a rootless Docker's containers is the user that runs it.
  const isEngineOurs = isRootless ? user === null : user?.split(':')[0] === String(uid);
  return uid === 0 || isEngineOurs || overridesFilePermissions();
}

function reachText(host: string, { unix, tcp, exposure }: Reach, ownName: string | null): string {
  const how =
    unix !== null
      ? 'Unix sockets'
      : tcp === 'network'
        ? `a network for each launch that ${ownName} joins`
        : 'ports on loopback';
  return `engines run in containers of Docker at ${host} and are reached by ${how}${unix !== null || exposure === '' ? '' : `; ${exposure}`}`;
}
