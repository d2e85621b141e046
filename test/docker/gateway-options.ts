/** Gateways for tests, in this process, in others and in containers. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { DockerConfig } from '../../src/config/resolved-config.ts';
import { openDockerRuntime } from '../../src/runtimes/docker/open-docker-runtime.ts';
import type { OwnSurroundings } from '../../src/runtimes/docker/own-container.ts';
import type { Runtime } from '../../src/runtimes/runtime.ts';
import { openFileRecords } from './file-records.ts';

/** As `NODE_IMAGE`; containers cannot import what makes the images. */
const IMAGE = 'vgt:node';

export interface GatewayOptions {
  readonly host: string;
  readonly stateId: string;
  readonly directory: string;
  readonly config?: Partial<DockerConfig>;
  readonly outputLimitBytes?: number;
  readonly logged?: string[];
  /** What the gateway sees of itself; looked up where absent. */
  readonly surroundings?: OwnSurroundings;
  readonly daemonLimitMs?: number;
}

function dockerConfig(host: string, changed: Partial<DockerConfig> = {}): DockerConfig {
  return {
    host,
    image: IMAGE,
    pull: 'never',
    containerPrefix: 'vllm_server',
    network: null,
    port: 8000,
    gatewayContainer: null,
    reach: 'auto',
    huggingFaceCache: 'vgt-huggingface',
    compileCache: null,
    volumes: [],
    shmBytes: 64 * 1024 * 1024,
    user: null,
    utilityImage: null,
    ...changed,
  };
}

export async function openGateway(options: GatewayOptions): Promise<Runtime> {
  const { host, stateId, directory, config, logged } = options;
  const opened = await openDockerRuntime({
    docker: dockerConfig(host, config),
    socketDirectory: join(directory, 's'),
    outputLimitBytes: options.outputLimitBytes ?? 1_000_000,
    stateId,
    launches: openFileRecords(join(directory, 'launches')),
    hubCache: join(directory, 'hf', 'hub'),
    log: (level, text) => {
      logged?.push(`${level} ${text}`);
    },
    daemonLimitMs: options.daemonLimitMs ?? 10_000,
    ...(options.surroundings === undefined ? {} : { surroundings: options.surroundings }),
  });
  assert.ok(opened.ok, opened.ok ? '' : opened.error);
  return opened.value;
}
