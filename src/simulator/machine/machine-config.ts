/** The configuration of a world's gateway, and its devices: what the world does not say stands at the defaults of the product. */
import { loadConfig } from '../../config/load.ts';
import type { ResolvedConfig } from '../../config/resolved-config.ts';
import type { Device } from '../../devices/device.ts';
import { awakeMib, type ModelCosts, type World } from '../world.ts';

/** The most that the configuration takes: patient clients are not to be refused. */
const QUEUE_SIZE = 1_000_000;
const BARE_HOST = { dockerSocket: 'absent', isContainer: false } as const;

/** `costs`: of each model, by name. Throws where the world is no configuration that the gateway would start with. */
export async function simulationConfig(
  world: World,
  costs: ReadonlyMap<string, ModelCosts>,
): Promise<ResolvedConfig> {
  const models = [...costs].map(([name, model]) => [name, modelKeys(world, model)]);
  const object = {
    runtime: { kind: 'process' },
    devices: {
      source: 'simulated',
      simulated: world.devices.map(({ id, memoryMib }) => ({ id, memory_mib: memoryMib })),
      budget_fraction: Math.max(...world.devices.map(({ budgetFraction }) => budgetFraction)),
      host_memory_floor_mib: 0,
    },
    models: Object.fromEntries(models),
  };
  const loaded = await loadConfig({ object, environment: {}, host: BARE_HOST });
  if (loaded.ok) return loaded.value;
  const faults = loaded.error.map(({ path, problem }) => `${path}: ${problem}`);
  throw new Error(`the world ${world.name} gives no configuration: ${faults.join('; ')}`);
}

function modelKeys(world: World, costs: ModelCosts): Readonly<Record<string, unknown>> {
  return {
    engine: 'simulated',
    memory_mib: awakeMib(costs),
    tensor_parallel_size: costs.gpus,
    max_concurrent: costs.maxConcurrent,
    queue_size: QUEUE_SIZE,
    sleep: world.sleep ? 'auto' : 'off',
    // What is stopped for idleness is the operator's wish, not the scheduler's choice, and would blur its figures.
    inactivity_timeout: 0,
  };
}

export function worldDevices({ devices }: World): readonly Device[] {
  return devices.map(({ id, memoryMib, budgetFraction }, index) => {
    const budgetMib = Math.floor(budgetFraction * memoryMib);
    return {
      id,
      name: 'simulated',
      source: 'simulated',
      index,
      totalMib: memoryMib,
      unified: false,
      budgetMib,
      spareMib: memoryMib - budgetMib,
      pool: null,
    };
  });
}
