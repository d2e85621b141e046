/** What tests of the Docker runtime begin with. */
import type { DockerConfig } from '../../config/resolved-config.ts';
import type { LaunchSpec } from '../runtime.ts';

export const DOCKER_CONFIG: DockerConfig = {
  host: 'unix:///var/run/docker.sock',
  image: 'vllm/vllm-openai:latest',
  pull: 'missing',
  containerPrefix: 'vllm_server',
  network: null,
  port: 8000,
  gatewayContainer: null,
  reach: 'auto',
  huggingFaceCache: null,
  compileCache: null,
  volumes: [],
  shmBytes: 1024,
  user: null,
  utilityImage: null,
};

export function launchSpec(changed: Partial<LaunchSpec> = {}): LaunchSpec {
  return {
    launchId: 'l-1',
    model: 'm',
    argv: ['vllm', 'serve'],
    environment: {},
    listen: { kind: 'unix', socketPath: '/run/vllm-gateway/l-1/e.sock' },
    image: null,
    deviceSource: 'nvidia',
    files: [],
    deviceIds: [],
    memoryMibPerDevice: 1,
    signature: 's',
    ...changed,
  };
}
