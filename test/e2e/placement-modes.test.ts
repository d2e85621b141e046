/** How models share cards: what the original's two placement modes do, with sizes computed from files, measured and kept. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { openLedger } from '../../src/engines/simulated/ledger.ts';
import { startWithDearStarts } from '../fixtures/dear-starts.ts';
import { type RunningGateway, startGateway, until } from '../fixtures/gateway.ts';
import { chat } from '../fixtures/requests.ts';
import { type SizedModel, sizedModel, trueUse } from '../fixtures/sized-models.ts';

const CARD_MIB = 24_576;
/** More than an engine lingers for clients whose ways it does not know. */
const LINGERS_MS = 400;

interface PlacedStatus {
  readonly placement_mode: string;
  readonly gpu_budget_fraction: number;
  readonly gpus: Readonly<Record<string, { readonly residents: readonly string[] }>>;
  readonly models: Readonly<Record<string, { readonly state: string; readonly memory: SizeStatus }>>;
}

interface SizeStatus {
  readonly devices: number;
  readonly per_device_mib: number | null;
  readonly source: string;
}

async function directoryOf(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'vg-placed-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

async function machine(directory: string, cards: number, models: Readonly<Record<string, SizedModel>>) {
  const entries: Record<string, unknown> = {};
  for (const [name, model] of Object.entries(models))
    entries[name] = await sizedModel(directory, name, { loadSeconds: 0.05, ...model });
  return {
    server: { shutdown_delay: 0, shutdown_drain: 5 },
    devices: {
      source: 'simulated',
      simulated: Array.from({ length: cards }, (_card, index) => ({
        id: `gpu-${index}`,
        memory_mib: CARD_MIB,
      })),
    },
    models: entries,
  };
}

async function statusOf(gateway: RunningGateway): Promise<PlacedStatus> {
  return (await gateway.status()) as unknown as PlacedStatus;
}

/** Who is awake on each card, in alphabetical order. */
async function residents(gateway: RunningGateway): Promise<readonly (readonly string[])[]> {
  const { gpus, models } = await statusOf(gateway);
  const awake = (name: string): boolean => models[name]?.state === 'awake';
  return Object.values(gpus).map((gpu) => gpu.residents.filter(awake).toSorted());
}

async function ask(gateway: RunningGateway, ...models: readonly string[]): Promise<void> {
  for (const model of models) {
    const { status, text } = await chat(gateway.url, model);
    assert.equal(status, 200, text);
  }
}

async function sizeOf(gateway: RunningGateway, model: string): Promise<SizeStatus> {
  return until(`the size of ${model} is known`, async () => {
    const size = (await statusOf(gateway)).models[model]?.memory;
    return size === undefined || size.source === 'waiting' ? null : size;
  });
}

test('budget: models pack up to GPU_BUDGET_FRACTION; what was measured counts while its settings are the same', async (t) => {
  const directory = await directoryOf(t);
  const models = { a: { weightsMib: 6_000 }, b: { weightsMib: 6_000 }, c: { weightsMib: 6_000 } };
  const config = await machine(directory, 1, models);
  const footprints = join(directory, 'memory_footprints.json');
  const signature = ['budget', 2048, 16, 1, 0.9];
  await writeFile(footprints, JSON.stringify({ c: { vram_mib: 8_000, signature } }));
  const environment = {
    PLACEMENT_MODE: 'budget',
    GPU_BUDGET_FRACTION: '0.8',
    BUDGET_OVERHEAD_FACTOR: '1.2',
    BUDGET_OVERHEAD_MIB: '1500',
    MEMORY_FOOTPRINT_FILE: footprints,
  };
  const { weightsMib, kvMib, overheadMib } = trueUse(models.a);
  const first = await startGateway({ config, environment });
  t.after(() => first.kill());
  const computed = await sizeOf(first, 'a');
  assert.equal(computed.source, 'computed');
  assert.ok(Math.abs((computed.per_device_mib ?? 0) - ((weightsMib + kvMib) * 1.2 + 1500)) < 4);
  assert.equal((await sizeOf(first, 'c')).source, 'learned', 'imported');
  await ask(first, 'a', 'b');
  assert.deepEqual(await residents(first), [['a', 'b']]);
  // Three of them would be more than 0.8 of the card.
  await ask(first, 'c');
  assert.equal((await residents(first))[0]?.length, 2);
  const { placement_mode, gpu_budget_fraction } = await statusOf(first);
  assert.deepEqual(
    { placement_mode, gpu_budget_fraction },
    { placement_mode: 'budget', gpu_budget_fraction: 0.8 },
  );
  const measured = await until('a was measured', async () => {
    const size = await sizeOf(first, 'a');
    return size.source === 'learned' ? size : null;
  });
  const usedMib = weightsMib + kvMib + overheadMib;
  // What is kept for activations goes no further than what was reckoned before.
  assert.ok(measured.per_device_mib !== null && measured.per_device_mib >= usedMib);
  assert.ok(measured.per_device_mib <= Math.ceil(computed.per_device_mib ?? 0));
  assert.equal(await first.stop({ keep: true }), 0);

  const entries = config.models as Record<string, Record<string, unknown>>;
  const changed = { ...config, models: { ...entries, b: { ...entries['b'], max_model_len: 1024 } } };
  const second = await startGateway({ config: changed, environment, directory: first.directory });
  try {
    const kept = await sizeOf(second, 'a');
    assert.equal(kept.source, 'learned');
    assert.ok(Math.abs((kept.per_device_mib ?? 0) - (measured.per_device_mib ?? 0)) < 64);
    assert.equal((await sizeOf(second, 'b')).source, 'computed', 'with another context it is another launch');
    await ask(second, 'b');
    await until('it was measured anew', async () => (await sizeOf(second, 'b')).source === 'learned');
  } finally {
    await second.stop();
  }
});

test('a model whose files say nothing runs alone once, is measured, and packs from then on', async (t) => {
  const directory = await directoryOf(t);
  const models = { dark: { weightsMib: 5_000, unreadable: true }, plain: { weightsMib: 5_000 } };
  const config = { ...(await machine(directory, 1, models)), scheduling: { placement_mode: 'budget' } };
  const gateway = await startGateway({ config });
  try {
    await ask(gateway, 'plain', 'dark');
    assert.deepEqual(await residents(gateway), [['dark']], 'alone');
    await until('it was measured', async () => (await sizeOf(gateway, 'dark')).source === 'learned');
    await ask(gateway, 'plain', 'dark');
    assert.deepEqual(await residents(gateway), [['dark', 'plain']]);
    const ledger = openLedger(join(gateway.directory, 'state', 'ledger'));
    assert.ok((ledger.read()[0]?.usedMib ?? CARD_MIB) < 0.8 * CARD_MIB, 'its cache is as configured now');
  } finally {
    await gateway.stop();
  }
});

test('whole_card: one model a card, the least used gives way; small ones share a card of their own', async (t) => {
  const directory = await directoryOf(t);
  const models = {
    a: { weightsMib: 3_000 },
    b: { weightsMib: 3_000 },
    c: { weightsMib: 3_000 },
    x: { weightsMib: 3_000, keys: { colocate: true } },
    y: { weightsMib: 3_000, keys: { colocate: true } },
    wide: { weightsMib: 30_000, ranks: 2 },
  };
  // All cost the same to bring back, as far as the gateway knows: then use decides.
  const costs = Object.fromEntries(Object.keys(models).map((name) => [name, 20]));
  const gateway = await startWithDearStarts(await machine(directory, 2, models), costs);
  try {
    assert.equal((await sizeOf(gateway, 'wide')).devices, 2, 'the fewest that hold it');
    await ask(gateway, 'a', 'b');
    assert.deepEqual((await residents(gateway)).flat().toSorted(), ['a', 'b']);
    await ask(gateway, 'a');
    // Until its linger has passed an engine waits for its clients' next request.
    await pause(LINGERS_MS);
    await ask(gateway, 'c');
    assert.deepEqual((await residents(gateway)).flat().toSorted(), ['a', 'c'], 'b was used least lately');
    await ask(gateway, 'x', 'y');
    const together = (await residents(gateway)).find((names) => names.includes('x'));
    assert.deepEqual(together, ['x', 'y']);
    await ask(gateway, 'wide');
    assert.deepEqual(await residents(gateway), [['wide'], ['wide']]);
  } finally {
    await gateway.stop();
  }
});
