/**
 * What runs when nobody configured anything: three simulated models on one simulated card on which not all of them fit, so
 * that a few requests show starting, sharing and swapping within seconds.
 */

const GIB = 1024;

function simulatedModel(memoryGib: number, loadSeconds: number) {
  const memoryMib = memoryGib * GIB;
  return {
    engine: 'simulated',
    memory_mib: memoryMib,
    extra_args: ['--sim-load-seconds', loadSeconds, '--sim-memory-mib', memoryMib],
  };
}

/** In the shape of a configuration file; it goes through the same schema. */
export const DEMONSTRATION = {
  devices: { source: 'simulated', simulated: [{ id: 'sim-gpu-0', memory_mib: 24 * GIB }] },
  models: {
    'sim-small': simulatedModel(6, 2),
    'sim-medium': simulatedModel(10, 3),
    'sim-large': simulatedModel(16, 4),
  },
};
