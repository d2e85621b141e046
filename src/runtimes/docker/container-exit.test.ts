import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContainerState } from './container-exit.ts';
import { exitOf } from './container-exit.ts';

function state(changed: Partial<ContainerState>): ContainerState {
  return { Running: false, Status: 'exited', OOMKilled: false, ExitCode: 0, Error: '', ...changed };
}

test('codes, signals, memory and Docker’s own words', () => {
  const table: readonly (readonly [Partial<ContainerState>, object])[] = [
    [{ ExitCode: 0 }, { code: 0, signal: null }],
    [{ ExitCode: 1 }, { code: 1, signal: null }],
    [{ ExitCode: 137 }, { code: null, signal: 'SIGKILL' }],
    [{ ExitCode: 143 }, { code: null, signal: 'SIGTERM' }],
    [{ ExitCode: 255 }, { code: 255, signal: null }],
    [
      { ExitCode: 137, OOMKilled: true },
      { code: null, signal: 'SIGKILL', hostMemory: true },
    ],
    [
      { ExitCode: 1, OOMKilled: true },
      { code: 1, signal: null, hostMemory: true },
    ],
    [
      { ExitCode: 128, Error: 'OCI runtime: no' },
      { code: null, signal: null, unknownBecause: 'Docker says: OCI runtime: no' },
    ],
  ];
  for (const [changed, wanted] of table) assert.deepEqual(exitOf(state(changed), false), wanted);
});

test('what ended while Docker was away was not the engine’s own doing', () => {
  const exit = exitOf(state({ ExitCode: 143 }), true);
  assert.deepEqual([exit.code, exit.signal], [null, null]);
  assert.match(exit.unknownBecause ?? '', /Docker was not there .*SIGTERM/);
  assert.equal(exitOf(state({ ExitCode: 137, OOMKilled: true }), true).hostMemory, true);
});
