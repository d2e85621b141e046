/** nvidia-smi for a gateway in a container that has none, as configured. */
import type { ResolvedConfig } from '../config/resolved-config.ts';
import type { DeviceTools, OpenTools } from '../devices/fallback-tool.ts';
import type { Runtime } from '../runtimes/runtime.ts';

/**
 * Undefined where engines run as processes: then the tool is on this machine or nowhere. `runtime` null: the image is not
 * pulled, it is there or it is not.
 */
export function utilityToolOpener(
  config: Pick<ResolvedConfig, 'runtime'>,
  runtime: Pick<Runtime, 'prepare'> | null,
  stateId: string,
  environment: NodeJS.ProcessEnv,
): OpenTools | undefined {
  const { host, utilityImage } = config.runtime.docker;
  if (config.runtime.kind !== 'docker' || utilityImage === null) return undefined;
  return async (): Promise<DeviceTools | null> => {
    const { openDockerConnection } = await import('../runtimes/docker/connection.ts');
    const { createUtilityTool } = await import('../runtimes/docker/utility-tool.ts');
    const connection = await openDockerConnection(host, environment);
    if (!connection.ok) return null;
    const prepare = async (image: string): Promise<string | null> => {
      if (runtime === null) return null;
      const signal = new AbortController().signal;
      const prepared = await runtime.prepare(image, { signal, onProgress: () => undefined });
      return prepared.kind === 'ready' ? null : prepared.detail;
    };
    return createUtilityTool({ connection: connection.value, image: utilityImage, stateId, prepare });
  };
}
