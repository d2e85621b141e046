/**
 * Models that no device can ever hold by their sizes, for `check`: without asking any hub, so only of models whose files or
 * earlier readings are on this machine. Devices are those that the configuration lists, else this machine's GPUs; where there are
 * neither, nothing can be said.
 */
import type { Environment } from '../config/environment.ts';
import type { Notice, ResolvedConfig } from '../config/resolved-config.ts';
import type { Device } from '../devices/device.ts';
import { createEngineRegistry } from '../engines/registry.ts';
import { createFootprintStore } from '../store/footprints.ts';
import { openStateDatabase } from '../store/state-database.ts';
import { machineDevices, namedDevices } from './planned-devices.ts';
import { sizeModels } from './sized-models.ts';

/** Headers on a slow disk; nothing goes over the network. */
const LOCAL_FACTS_LIMIT_MS = 20_000;

export async function unfitNotices(
  config: ResolvedConfig,
  environment: Environment,
): Promise<readonly Notice[]> {
  const { simulated, source } = config.devices;
  const isListed = source === 'simulated' || (source === 'auto' && simulated.length > 0);
  const devices = isListed ? listedDevices(config) : await machineGpus(config, environment);
  if (devices.length === 0) return [];
  const opened = openStateDatabase({
    directory: config.runtime.stateDirectory,
    access: 'read',
    onFault: () => {},
  });
  const engineFor = createEngineRegistry(environment, config.runtime.kind === 'process');
  try {
    const { reports } = await sizeModels({
      config,
      environment,
      engineOf: (model) => engineFor(model.engine),
      devices,
      footprints: opened.ok ? createFootprintStore(opened.value.database) : null,
      offline: true,
      timeLimitMs: LOCAL_FACTS_LIMIT_MS,
    });
    return [...reports.values()].flatMap(({ model, source: origin, neverFits }): Notice[] => {
      // Of listed devices the configuration tells that itself.
      if (neverFits === null || (isListed && origin === 'configured')) return [];
      const where = isListed ? '' : ' on this machine';
      return [
        { level: isListed ? 'error' : 'warn', text: `Model ${model} can never start${where}: ${neverFits}.` },
      ];
    });
  } finally {
    if (opened.ok) opened.value.database.close();
  }
}

function listedDevices({ devices: config }: ResolvedConfig): readonly Device[] {
  const devices = config.simulated.map(({ id, memoryMib }) => ({ id, totalMib: memoryMib, pool: null }));
  return namedDevices(config, { devices, hostMib: null }).devices;
}

/** A machine without a GPU may well be where a file for another one is checked. */
async function machineGpus(config: ResolvedConfig, environment: Environment): Promise<readonly Device[]> {
  if (config.devices.source === 'host') return [];
  const { devices, complete } = await machineDevices(config, environment);
  return complete ? devices.filter(({ source }) => source === 'nvidia' || source === 'amd') : [];
}
