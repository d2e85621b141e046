/** A machine on which nothing is wrong, for the tables of the judgements. */
import type { MachineFacts } from './machine-facts.ts';

export function factsFixture(changes: Partial<MachineFacts> = {}): MachineFacts {
  return {
    configuration: { source: 'models.yaml', faults: [] },
    nodeVersion: '24.21.0',
    platform: 'linux',
    hasProc: true,
    runtimeKind: 'process',
    service: { isContainer: false, unit: null, oomScoreAdj: 0, isOomScoreWritable: true },
    docker: null,
    wantsNvidia: true,
    vllm: [
      {
        executable: 'vllm',
        models: ['m'],
        version: { kind: 'answered', text: 'vLLM 0.32.0' },
        unknownParsers: [],
      },
    ],
    devices: {
      devices: [{ id: 'GPU-1', name: 'Card', source: 'nvidia', totalMib: 24_576, usedMib: 300 }],
      conditions: [],
      isComplete: true,
      driverVersion: '580.95',
      sharedMemoryMib: 64,
    },
    devicesPerEngineMax: 1,
    memory: { totalMib: 65_536, usedMib: 8000, isLimited: false },
    disks: [{ use: 'model weights', path: '/c', freeMib: 200_000, totalMib: 500_000, kind: 'weights' }],
    hubCache: { path: '/c', exists: true, isWritable: true, sizeMib: 90_000 },
    models: [{ model: 'm', repo: 'acme/m', place: 'cached', hasToken: false }],
    hubToken: { isSet: false, isOffline: false },
    port: { host: '127.0.0.1', port: 9000, outcome: 'free' },
    limits: {
      openFiles: 20_000,
      processes: 90_000,
      groupProcesses: null,
      inotifyWatches: 65_536,
      connectionsMax: 900,
    },
    state: { path: '/s', exists: true, isWritable: true, isOurs: true, ownerPid: null, isOwnerHere: false },
    clock: { nowMs: Date.UTC(2027, 0, 1), installedMs: Date.UTC(2026, 11, 1), isSynchronized: true },
    ...changes,
  };
}
