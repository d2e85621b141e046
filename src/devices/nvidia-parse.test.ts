import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  parseDriverVersion,
  parseMigInstances,
  parseNvidiaGpus,
  parseNvidiaProcesses,
} from './nvidia-parse.ts';

const GPU = {
  index: 0,
  uuid: 'GPU-4d5a',
  name: 'NVIDIA A100-SXM4-80GB',
  totalMib: 81_920,
  usedMib: 7,
  migEnabled: false,
  memory: 'own',
};

const CASES: readonly (readonly [string, string, unknown])[] = [
  ['plain numbers', '0, GPU-4d5a, 81920, 7, Disabled, NVIDIA A100-SXM4-80GB\n', [GPU]],
  ['with units', '0, GPU-4d5a, 81920 MiB, 7 MiB, Disabled, NVIDIA A100-SXM4-80GB\n', [GPU]],
  [
    'with a header and carriage returns',
    'index, uuid, memory.total [MiB], memory.used [MiB], mig.mode.current, name\r\n0, GPU-4d5a, 81920 MiB, 7 MiB, [N/A], NVIDIA A100-SXM4-80GB\r\n',
    [GPU],
  ],
  ['a name with a comma', '0, GPU-4d5a, 81920, 7, [N/A], Some, Card\n', [{ ...GPU, name: 'Some, Card' }]],
  [
    'unified memory does not tell',
    '0, GPU-4d5a, [N/A], [N/A], [N/A], NVIDIA GB10\n',
    [{ ...GPU, name: 'NVIDIA GB10', totalMib: null, usedMib: null, memory: 'unified' }],
  ],
  [
    'not supported',
    '0, GPU-4d5a, 81920, [Not Supported], Disabled, NVIDIA A100-SXM4-80GB\n',
    [{ ...GPU, usedMib: null }],
  ],
  [
    'a lost device',
    '0, GPU-4d5a, [Unknown Error], [GPU requires reset], [N/A], NVIDIA A100-SXM4-80GB\n',
    [{ ...GPU, totalMib: null, usedMib: null, memory: 'lost' }],
  ],
  ['partitioned', '0, GPU-4d5a, 81920, 7, Enabled, NVIDIA A100-SXM4-80GB\n', [{ ...GPU, migEnabled: true }]],
  ['nothing', '', []],
];

for (const [name, output, gpus] of CASES) {
  test(`nvidia-smi output: ${name}`, () => {
    const report = parseNvidiaGpus(output);
    assert.deepEqual(report.gpus, gpus);
    assert.deepEqual(report.unread, []);
  });
}

test('lines that are no GPU are kept for the condition, shortened', () => {
  const report = parseNvidiaGpus(
    `WARNING: infoROM is corrupted at gpu 0000:3B:00.0\n${'x'.repeat(500)}\n0, GPU-1, 1, 0, [N/A], N\n`,
  );
  assert.equal(report.gpus.length, 1);
  assert.deepEqual(
    report.unread.map((line) => line.length),
    [49, 200],
  );
});

test('MIG instances stand under their GPU', () => {
  const output = `GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aa)
  MIG 3g.20gb     Device  0: (UUID: MIG-11)
  MIG 1c.3g.20gb  Device  1: (UUID: MIG-22)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bb)
`;
  assert.deepEqual(
    [...parseMigInstances(output)],
    [
      [
        'GPU-aa',
        [
          { index: 0, uuid: 'MIG-11', profile: '3g.20gb' },
          { index: 1, uuid: 'MIG-22', profile: '1c.3g.20gb' },
        ],
      ],
      ['GPU-bb', []],
    ],
  );
});

const PROCESSES: readonly (readonly [string, string, ReturnType<typeof parseNvidiaProcesses>])[] = [
  ['numbers', '4711, GPU-4d5a, 1234\n', [{ pid: 4711, uuid: 'GPU-4d5a', usedMib: 1234 }]],
  [
    'header and units',
    'pid, gpu_uuid, used_gpu_memory [MiB]\r\n4711, GPU-4d5a, 1234 MiB\r\n',
    [{ pid: 4711, uuid: 'GPU-4d5a', usedMib: 1234 }],
  ],
  ['memory not told', '4711, GPU-4d5a, [N/A]\n', [{ pid: 4711, uuid: 'GPU-4d5a', usedMib: null }]],
  ['permissions', '[Insufficient Permissions], GPU-4d5a, [Insufficient Permissions]\n', null],
  ['nothing', '', []],
  ['nothing, in words', 'No running processes found\n', []],
  ['a table of cards', '0, GPU-1, 16384, 100, [N/A], Some GPU\n', null],
  ['not supported', 'Active compute process queries not supported\n', null],
];

for (const [name, output, processes] of PROCESSES) {
  test(`processes on NVIDIA cards: ${name}`, () => {
    assert.deepEqual(parseNvidiaProcesses(output), processes);
  });
}

test('a driver version is a version, of the first of several devices', () => {
  assert.equal(parseDriverVersion('580.95.05\r\n580.95.05\r\n'), '580.95.05');
  for (const other of ['', '[N/A]\n', '0, GPU-1, 40960, 0, Disabled, A\n', 'driver_version\n580.95\n'])
    assert.equal(parseDriverVersion(other), null, other);
});
