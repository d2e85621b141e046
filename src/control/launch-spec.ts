/** What a launch hands to its runtime: made of the configuration, the scheduler's word and what the engine asks for. */
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { DeviceId, LaunchId } from '../core/ids.ts';
import type { ListenAddress } from '../engines/engine.ts';
import type { LaunchSpec } from '../runtimes/runtime.ts';
import type { LaunchOrder, LaunchPorts } from './launch-ports.ts';

export interface LaunchSite {
  readonly launchId: LaunchId;
  readonly model: ResolvedModel;
  readonly listen: ListenAddress;
  readonly deviceIds: readonly DeviceId[];
  readonly memoryMibPerDevice: number;
}

export function launchSpec(
  { engine, runtime, deviceEnvironment }: Pick<LaunchPorts, 'engine' | 'runtime' | 'deviceEnvironment'>,
  site: LaunchSite,
  order: LaunchOrder,
): LaunchSpec {
  const { launchId, model, listen, deviceIds, memoryMibPerDevice } = site;
  const { devices, signature, kvCacheBytes, sleepMode, withoutFlags, source } = order;
  const deviceSource = devices[0]?.source ?? 'host';
  const command = engine.command(model, {
    launchId,
    listen,
    deviceIds: devices.filter((device) => device.source !== 'host').map((device) => device.id),
    deviceSource,
    memoryMibPerDevice,
    deviceMemoryMib: Math.max(memoryMibPerDevice, ...devices.map((device) => device.totalMib)),
    kvCacheBytes,
    sleepMode,
    withoutFlags,
    source,
    sharesHost: runtime.capabilities.sharesHost,
  });
  return {
    launchId,
    model: model.name,
    argv: command.argv,
    environment: { ...command.environment, ...deviceEnvironment },
    listen,
    image: model.image,
    deviceSource,
    files: command.files,
    deviceIds,
    memoryMibPerDevice,
    signature,
  };
}
