import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recorded, recordedText, shellTool } from '../../test/fixtures/device-tools.ts';
import { createAmdSource } from './amd.ts';
import { type AmdGpu, parseAmdSmi, parseRocmSmi } from './amd-parse.ts';
import { createToolRunner } from './run-tool.ts';

const run = createToolRunner({ PATH: process.env['PATH'] });

const MI300: AmdGpu = {
  index: 0,
  id: 'GPU-a1b2c3d4e5f60718',
  name: 'AMD Instinct MI300X',
  totalMib: 196_592,
  usedMib: 283,
};
const MI210: AmdGpu = {
  index: 0,
  id: 'GPU-18f68e602b8a790f',
  name: 'AMD Instinct MI210',
  totalMib: 65_520,
  usedMib: 26_208,
};
const RX7900: AmdGpu = { index: 1, id: '1', name: 'Radeon RX 7900 XTX', totalMib: 24_560, usedMib: 26 };

test('rocm-smi: cards by number, memory in bytes, names in either spelling, no unique id', () => {
  assert.deepEqual(parseRocmSmi(recordedText('amd/rocm-smi.json')), [MI210, RX7900]);
  const noise = `WARNING: AMD GPU device(s) is/are in a low-power state.\n${recordedText('amd/rocm-smi.json')}`;
  assert.equal(parseRocmSmi(noise)?.length, 2);
});

test('amd-smi: list and wrapped list, memory with units, N/A', () => {
  const asic = recordedText('amd/amd-smi-static.json');
  assert.deepEqual(parseAmdSmi(asic, recordedText('amd/amd-smi-metric.json')), [
    MI300,
    { index: 1, id: '1', name: 'AMD GPU', totalMib: null, usedMib: null },
  ]);
  assert.deepEqual(parseAmdSmi('', recordedText('amd/amd-smi-metric-wrapped.json')), [
    { index: 0, id: '0', name: 'AMD GPU', totalMib: 16_368, usedMib: 14_569 },
  ]);
});

for (const text of ['', 'no device', '[1', '7', '"x"', '{}']) {
  test(`AMD output that is no list of GPUs: ${JSON.stringify(text)}`, () => {
    assert.equal(parseAmdSmi('', text), null);
    assert.equal((parseRocmSmi(text) ?? []).length, 0);
  });
}

const AMD_SMI = `case "$1" in
  metric) cat '${recorded('amd/amd-smi-metric.json')}';;
  static) cat '${recorded('amd/amd-smi-static.json')}';;
esac`;

test('AMD devices through amd-smi: always marked as unverified, cards without figures left out', async (t) => {
  const { file } = shellTool(t, 'amd-smi', AMD_SMI);
  const source = createAmdSource([file], run);
  const { devices, conditions, complete } = await source.read();
  const { id, name, index, totalMib } = MI300;
  assert.deepEqual(devices, [{ id, name, index, totalMib, source: 'amd', unified: false }]);
  assert.deepEqual(
    conditions.map(({ code }) => code),
    ['amd_unverified', 'amd_memory_unknown'],
  );
  assert.equal(complete, true);
  assert.equal((await source.memory(devices)).uses.get(id), 283);
});

test('AMD devices through rocm-smi, which is known by its name', async (t) => {
  const { file } = shellTool(t, 'rocm-smi', `cat '${recorded('amd/rocm-smi.json')}'`);
  const { devices } = await createAmdSource([file], run).read();
  assert.deepEqual(
    devices.map(({ id, totalMib }) => [id, totalMib]),
    [
      [MI210.id, 65_520],
      ['1', 24_560],
    ],
  );
});

for (const [script, code] of [
  ['echo "ERROR: no driver" >&2; exit 2', 'amd_driver_unavailable'],
  ['echo nothing', 'amd_output_unreadable'],
] as const) {
  test(`amd-smi that does not give devices: ${code}`, async (t) => {
    const { file } = shellTool(t, 'amd-smi', script);
    const { devices, conditions, complete } = await createAmdSource([file], run).read();
    assert.deepEqual([devices, conditions[0]?.code, complete], [[], code, false]);
  });
}

test('amd-smi that is missing or hangs is a condition', async () => {
  assert.equal((await createAmdSource(['/no/amd-smi'], run).read()).conditions[0]?.code, 'amd_tool_missing');
  const hung = createAmdSource(['amd-smi'], async (_argv, timeLimitMs) => ({ kind: 'hung', timeLimitMs }));
  assert.equal((await hung.read()).conditions[0]?.code, 'amd_tool_hung');
  assert.equal((await hung.memory([])).failure?.code, 'amd_tool_hung');
});
