/** What all parts of the Docker runtime work with: one daemon, one state directory, one way to reach engines. */
import type { DockerConfig } from '../../config/resolved-config.ts';
import type { LaunchRecords } from '../../store/launch-records.ts';
import type { Log } from '../../telemetry/log.ts';
import type { DockerConnection } from './connection.ts';
import type { LaunchNetworks } from './launch-network.ts';
import type { PathMap } from './path-map.ts';
import type { Reach } from './reach.ts';
import type { SocketDirectories } from './socket-directories.ts';

export interface DockerSite {
  readonly connection: DockerConnection;
  readonly config: DockerConfig;
  readonly stateId: string;
  readonly records: LaunchRecords;
  readonly reach: Reach;
  /** Engines' sockets belong to another user, and have to be opened to us (socket-opener.ts). */
  readonly opensSockets: boolean;
  readonly toSource: PathMap;
  readonly sockets: SocketDirectories;
  readonly networks: LaunchNetworks;
  readonly hubCache: string;
  readonly outputLimitBytes: number;
  readonly environment: NodeJS.ProcessEnv;
  readonly log: Log;
}
