import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { InputFault } from './input-fault.ts';
import { loadWorld } from './load-world.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'world-'));
after(() => rmSync(directory, { recursive: true }));

const WORLD = {
  name: 'small',
  note: 'is left alone',
  devices: [{ uuid: 'GPU-0', memory_mib: 24576, budget_fraction: 0.95 }],
  host_memory_mib: 65536,
  sleep: true,
  palette: [
    {
      weights_mib: 3200,
      kv_mib: 1500,
      overhead_mib: 700,
      gpus: 1,
      cold_start_s: { min: 16.5, median: 22, p90: 35.2 },
      sleep_l1_s: 0.15,
      wake_l1_s: 1.1,
      stop_s: 2,
      prefill_tokens_per_s: 9000,
      decode_tokens_per_s: 110,
      max_concurrent: 16,
    },
  ],
};

function written(name: string, content: unknown): string {
  const file = path.join(directory, name);
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
}

test('a world is read, its seconds as milliseconds', () => {
  assert.deepEqual(loadWorld(written('good.json', WORLD)), {
    name: 'small',
    devices: [{ id: 'GPU-0', memoryMib: 24576, budgetFraction: 0.95 }],
    hostMemoryMib: 65536,
    sleep: true,
    palette: [
      {
        weightsMib: 3200,
        kvMib: 1500,
        overheadMib: 700,
        gpus: 1,
        coldStart: { minMs: 16_500, medianMs: 22_000, p90Ms: 35_200 },
        sleepMs: 150,
        wakeMs: 1_100,
        stopMs: 2_000,
        prefillTokensPerS: 9000,
        decodeTokensPerS: 110,
        maxConcurrent: 16,
      },
    ],
  });
});

test('all wrong keys are named with their paths', () => {
  const [entry] = WORLD.palette;
  const file = written('wrong.json', {
    ...WORLD,
    sleep: 'yes',
    palette: [{ ...entry, gpus: 0, cold_start_s: { min: 30, median: 22, p90: 35 } }],
  });
  assert.throws(
    () => loadWorld(file),
    (error) => {
      assert.ok(error instanceof InputFault);
      for (const part of [file, 'sleep:', 'palette[0].gpus:', 'palette[0].cold_start_s: min <= median'])
        assert.ok(error.message.includes(part), `${part} in ${error.message}`);
      return true;
    },
  );
});

test('a file that is not there or is no JSON is named', () => {
  assert.throws(
    () => loadWorld(path.join(directory, 'none.json')),
    /none\.json: cannot be read \(ENOENT\)\. Check/,
  );
  assert.throws(() => loadWorld(written('broken.json', '{')), /broken\.json: is no JSON: /);
});
