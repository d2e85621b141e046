/** Rules about containers: what Docker would refuse, and what a model needs to run in one. Nothing is asked of Docker here. */
import { type ConfigFault, type ConfigPath, type FaultCode, type FaultDetails, fault } from './fault.ts';
import type { HostFacts } from './host-facts.ts';
import { dockerOf, type Layers, modelOf, originOfModelKey, originOfSetting } from './layers.ts';
import { engineOf } from './resolve-model.ts';
import type { RuntimeConfig } from './resolved-config.ts';
import type { RawModel } from './schema-model.ts';

const DOCKER_HOST = /^(unix:\/\/\/.+|(tcp|https?):\/\/[^/\s@]+\/?)$/;
const MOUNT_SOURCE = /^(\/[^:]*|[a-zA-Z0-9][a-zA-Z0-9_.-]*)$/;

/** Faults of `runtime.docker` and of models that cannot run in containers; none where engines run as processes. */
export function checkRuntime(
  layers: Layers,
  kind: RuntimeConfig['kind'],
  host: HostFacts,
): readonly ConfigFault[] {
  if (kind !== 'docker') return [];
  const models = Object.entries(layers.file.config.models);
  return [...checkDocker(layers, host), ...models.flatMap(([name, own]) => checkModel(layers, name, own))];
}

function checkDocker(layers: Layers, host: HostFacts): ConfigFault[] {
  const docker = dockerOf(layers);
  const faults: ConfigFault[] = [];
  const report = (key: string, code: FaultCode, problem: string, details: FaultDetails): void => {
    const path: ConfigPath = ['runtime', 'docker', key];
    faults.push(fault(code, originOfSetting(layers, path), path, problem, details));
  };
  if (!DOCKER_HOST.test(docker.host)) {
    report('host', 'invalid_value', 'a Docker engine is reached by a socket or by TCP', {
      found: JSON.stringify(docker.host),
      allowed: '`unix:///path` or `tcp://host:port`',
    });
  }
  for (const key of ['hugging_face_cache', 'compile_cache'] as const) {
    const source = docker[key];
    if (source === undefined || MOUNT_SOURCE.test(source)) continue;
    report(key, 'invalid_value', 'Docker mounts by paths of its host, or volumes by their names', {
      found: JSON.stringify(source),
      allowed: 'an absolute path without `:`, or the name of a volume',
    });
  }
  if (docker.reach === 'network' && !host.isContainer && docker.gateway_container === undefined) {
    report('reach', 'conflict', '`reach: network` needs the gateway itself in a container', {
      found: 'network',
      allowed: 'auto, socket, port; or `gateway_container`, where it runs in one',
    });
  }
  return faults;
}

function checkModel(layers: Layers, name: string, own: RawModel): ConfigFault[] {
  if (own.url !== undefined) return [];
  if (engineOf(own, modelOf(layers, own).engine) === 'simulated') {
    const { origin, path } = originOfModelKey(layers, name, 'engine');
    const allowed =
      '`engine: vllm` with an `image` that has vllm-sim (and `vllm_executable: [vllm-sim]`), or `runtime.kind: process`';
    return [
      fault('conflict', origin, path, 'simulated models run beside the gateway, not in containers', {
        allowed,
      }),
    ];
  }
  if (own.command === undefined || modelOf(layers, own).image !== undefined) return [];
  const { origin, path } = originOfModelKey(layers, name, 'command');
  const problem = 'a `command` needs an `image` to run in, as engines run in containers';
  return [fault('missing', origin, path, problem, { allowed: '`image`, here or in `defaults`' })];
}
