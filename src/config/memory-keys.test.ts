/** Keys of sleeping, sharing, host memory, and what needs are reckoned with. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { formatFault } from './fault.ts';
import { BARE_HOST } from './fault-fixtures.ts';
import { type LoadOptions, loadConfig } from './load.ts';
import type { ResolvedConfig, ResolvedModel } from './resolved-config.ts';

const directory = mkdtempSync(join(tmpdir(), 'gateway-memory-keys-'));
after(() => rmSync(directory, { recursive: true }));

const ONE = { models: { m: { repo: 'r' } } };

async function load(options: Partial<LoadOptions>): Promise<ResolvedConfig> {
  const loaded = await loadConfig({ environment: {}, host: BARE_HOST, ...options });
  assert.ok(loaded.ok, loaded.ok ? '' : loaded.error.map(formatFault).join('\n'));
  return loaded.value;
}

function modelIn(config: ResolvedConfig, name: string): ResolvedModel {
  const model = config.models.get(name);
  assert.ok(model !== undefined);
  return model;
}

function written(name: string, text: string): string {
  const file = join(directory, name);
  writeFileSync(file, text);
  return file;
}

test('how engines give way, share and drain is said by the model, and by defaults for the others', async () => {
  const object = {
    defaults: { sleep: 'level_2', warm_up: false, colocate: true, on_drain_timeout: 'wait' },
    models: {
      a: { repo: 'r' },
      b: { repo: 'r', sleep: 'off', warm_up: 'yes', colocate: false, on_drain_timeout: 'cut' },
      away: { url: 'http://h:1' },
      other: { command: ['serve', '{port}'] },
    },
  };
  const config = await load({ object });
  const ways = (name: string) => {
    const { sleep, warmUp, colocate, onDrainTimeout } = modelIn(config, name);
    return [sleep, warmUp, colocate, onDrainTimeout];
  };
  assert.deepEqual(ways('a'), ['level_2', false, true, 'wait']);
  assert.deepEqual(ways('b'), ['off', true, false, 'cut']);
  assert.deepEqual(ways('away').slice(0, 2), ['off', false], 'a server that we do not manage');
  assert.deepEqual(ways('other'), ['off', false, true, 'wait'], 'one that we know nothing of');
  assert.equal(modelIn(config, 'away').colocate, false);
});

test('`off` needs no quotes in a file', async () => {
  const file = written('sleepless.yaml', 'models:\n  a: {repo: x, sleep: off}\n');
  assert.equal(modelIn(await load({ file }), 'a').sleep, 'off');
});

test('host memory and what needs are reckoned with', async () => {
  const { devices, scheduling } = await load({
    object: {
      ...ONE,
      devices: { host_memory_mib: '64GiB', host_memory_floor_mib: 0, simulated_host_memory_mib: '32GiB' },
      scheduling: { budget_overhead_mib: 0, colocate_max_share: 0.5 },
    },
  });
  assert.deepEqual(
    [devices.hostMemoryMib, devices.hostMemoryFloorMib, devices.simulatedHostMemoryMib],
    [65_536, 0, 32_768],
  );
  assert.deepEqual([scheduling.sizing.overheadMib, scheduling.sizing.colocateMaxShare], [0, 0.5]);
  assert.equal((await load({ object: ONE })).devices.hostMemoryMib, null);
});

test('footprints to import: beside the file, or as the environment says, from the working directory', async () => {
  const importOf = async (options: Partial<LoadOptions>) =>
    (await load({ object: ONE, ...options })).runtime.importFootprintsFile;
  assert.equal(await importOf({}), null);
  const environment = { MEMORY_FOOTPRINT_FILE: 'data/memory_footprints.json' };
  const plain = written('plain.yaml', 'models: {m: {repo: r}}\n');
  assert.equal(
    await importOf({ object: undefined, file: plain, environment }),
    resolve('data/memory_footprints.json'),
  );
  const file = written(
    'import.yaml',
    'models: {m: {repo: r}}\nruntime: {import_footprints_file: old.json}\n',
  );
  assert.equal(await importOf({ object: undefined, file, environment }), join(directory, 'old.json'));
});
