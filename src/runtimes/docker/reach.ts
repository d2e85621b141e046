/**
 * How we reach engines, decided once when the runtime opens. Pure.
 *
 *  socket   The engine's Unix socket, in a directory that only its container and we have.
 *  network  A network for each launch, internal, without a way to Docker's host, that only the engine and our own
 *           container join.
 *  port     A port published on loopback. Other users of the host and other containers reach it too, so the engine asks
 *           for a key, and its development routes stay shut.
 */
import type { DockerConfig } from '../../config/resolved-config.ts';
import type { Result } from '../../core/result.ts';
import { failure, success } from '../../core/result.ts';

export interface Reach {
  /** Null: engines are not reached by sockets. */
  readonly unix: 'socket' | null;
  /** For engines that know only ports. */
  readonly tcp: 'network' | 'port' | null;
  /** Why a port that an engine gets is not private; empty where it is, and where no engine gets one. */
  readonly exposure: string;
}

export interface ReachFacts {
  readonly wanted: DockerConfig['reach'];
  /** We are in a container (of whatever engine). */
  readonly isInContainer: boolean;
  /** That container is one of this Docker. */
  readonly own: { readonly isOnHostNetwork: boolean } | null;
  /** The daemon is on this machine, as far as its address tells. */
  readonly isLocal: boolean;
  /** A Unix socket that an engine makes is ours to open; else why not. */
  readonly sockets: Result<void, string>;
}

/** The error is a sentence with the remedy. */
export function decideReach(facts: ReachFacts): Result<Reach, string> {
  const { wanted, sockets } = facts;
  const tcp = tcpReach(facts);
  const wantsSockets = wanted === 'socket' || wanted === 'auto';
  if (wantsSockets && sockets.ok) {
    return success({ unix: 'socket', tcp, exposure: tcp === 'port' ? EXPOSED_PORTS : '' });
  }
  if (wanted === 'socket') {
    return failure(
      `runtime.docker.reach is \`socket\`, and engines cannot be reached so: ${sockets.ok ? '' : sockets.error}`,
    );
  }
  if (wanted === 'network' && tcp !== 'network') {
    return failure(
      'runtime.docker.reach is `network`, and the gateway runs in no container of this Docker (GATEWAY_CONTAINER_NAME): use `auto`',
    );
  }
  if (tcp === null) return failure(unreachable(facts));
  if (tcp === 'network') return success({ unix: null, tcp, exposure: '' });
  return success({ unix: null, tcp, exposure: exposureOf(facts) });
}

function tcpReach({ wanted, own, isInContainer, isLocal }: ReachFacts): Reach['tcp'] {
  const hasLoopbackOfHost = isLocal && (!isInContainer || own?.isOnHostNetwork === true);
  const canJoin = own !== null && !own.isOnHostNetwork;
  if (wanted === 'port') return hasLoopbackOfHost ? 'port' : null;
  if (canJoin) return 'network';
  return hasLoopbackOfHost ? 'port' : null;
}

function unreachable({ wanted, isInContainer, sockets }: ReachFacts): string {
  const because = sockets.ok ? '' : ` Sockets: ${sockets.error}.`;
  if (wanted === 'port') {
    return "runtime.docker.reach is `port`, and a port on the loopback of Docker's host cannot be reached from here: use `auto`";
  }
  return isInContainer
    ? `engines cannot be reached: the gateway runs in a container that this Docker does not know.${because} Name it in \`runtime.docker.gateway_container\` (GATEWAY_CONTAINER_NAME)`
    : `engines cannot be reached: Docker runs on another host.${because} Run the gateway there, or in a container there`;
}

const EXPOSED_PORTS =
  "an engine that knows only ports listens on one of Docker's host, where others reach its development routes too: let its `command` take {socket}, or run the gateway in a container of this Docker";

function exposureOf({ wanted, sockets }: ReachFacts): string {
  const why =
    wanted === 'port'
      ? '`runtime.docker.reach` is `port`'
      : `there are no sockets (${sockets.ok ? '' : sockets.error})`;
  return `engines listen on a port of Docker's host, because ${why}, where others reach their development routes too; let the gateway and Docker share a directory (runtime.state_directory), or run the gateway in a container of this Docker`;
}
