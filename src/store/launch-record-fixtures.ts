/** A record of a launch for tests. */
import type { LaunchRecord } from './launch-records.ts';

export function recordFixture(launchId: string): LaunchRecord {
  return {
    spec: {
      launchId,
      model: 'm',
      argv: ['vllm', 'serve', 'x y'],
      listen: { kind: 'tcp', host: '127.0.0.1', port: 4001 },
      image: null,
      deviceSource: 'simulated',
      files: [],
      deviceIds: ['SIM-0'],
      memoryMibPerDevice: 6000,
      signature: 'sig',
    },
    runtime: 'process',
    stage: { kind: 'serving' },
    outputFile: '/o/a.log',
    startedWallMs: 1_700_000_000_000,
    process: { pid: 4711, startTicks: '99', bootId: 'boot' },
    container: null,
  };
}
