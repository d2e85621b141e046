/** What is told to people at their first start is true: in the README and on the screen. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { startGateway, until } from '../../test/fixtures/gateway.ts';
import { DEMONSTRATION } from '../config/demonstration.ts';
import { formatFault } from '../config/fault.ts';
import { loadConfig } from '../config/load.ts';
import { launchSignature } from '../control/policies.ts';
import { writeLearnedCosts } from '../store/learned-costs.ts';
import { openStateDatabase } from '../store/state-database.ts';
import { runPlan } from './plan.ts';

const root = new URL('../../', import.meta.url);
const readme = await readFile(new URL('README.md', root), 'utf8');

/** Models of the curl lines, in their order. */
function modelsTried(text: string): readonly string[] {
  return [...text.matchAll(/-d '\{"model": "([\w-]+)"/g)].map(([, name]) => name ?? '');
}

/** Keys of an object and of the objects in it, other than names of models, devices and pools. */
function keysOf(value: unknown): readonly string[] {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const isName = key.startsWith('sim-') || key === 'default';
    return [...(isName ? [] : [key]), ...keysOf(inner)];
  });
}

async function assertDisplace(names: readonly string[]): Promise<void> {
  const loaded = await loadConfig({ environment: {} });
  assert.ok(loaded.ok && loaded.value.origin === 'demonstration');
  const { models, devices } = loaded.value;
  const needMib = names.map((name) => models.get(name)?.need.memoryMibPerDevice ?? 0);
  const budgetMib = devices.budgetFraction * (devices.simulated[0]?.memoryMib ?? 0);
  assert.equal(names.length, 2);
  assert.ok(needMib.every((mib) => mib > 0 && mib <= budgetMib));
  assert.ok((needMib[0] ?? 0) + (needMib[1] ?? 0) > budgetMib, `${names.join(' and ')} fit together`);
}

test('the models to try in the README cannot share the card', () => assertDisplace(modelsTried(readme)));

test('the models to try on the screen are the same, and docs/routes.md has every key of the status that they show', async () => {
  const gateway = await startGateway();
  try {
    await until('the lines to try', () => gateway.log.some(({ msg }) => msg.startsWith('Serve real models')));
    const screen = gateway.log.map(({ msg }) => msg).join('\n');
    assert.deepEqual(modelsTried(screen), modelsTried(readme));
    for (const text of [screen, readme])
      assert.match(text, /the second (request\s+)?puts the engine of the first to sleep/);
    const status: unknown = await (await fetch(`${gateway.url}/gateway/status`)).json();
    const routes = await readFile(new URL('docs/routes.md', root), 'utf8');
    for (const key of keysOf(status)) assert.ok(routes.includes(`\`${key}`), `docs/routes.md lacks ${key}`);
  } finally {
    assert.equal(await gateway.stop({ signal: 'SIGINT' }), 0);
  }
});

/** Costs are what is known of starts once each model was started once: its own seconds. */
test('of the two to try, the second puts the engine of the first to sleep', async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'vg-shown-'));
  t.after(() => rm(home, { recursive: true }));
  const names = modelsTried(readme);
  const tried = Object.entries(DEMONSTRATION.models).filter(([name]) => names.includes(name));
  const file = join(home, 'models.yaml');
  await writeFile(file, JSON.stringify({ ...DEMONSTRATION, models: Object.fromEntries(tried) }));
  const environment = { HOME: home };
  const loaded = await loadConfig({ file, environment });
  assert.ok(loaded.ok);
  const { models, runtime } = loaded.value;
  const costs = [...models.values()].map((model) => {
    const words = model.vllm.extraArgs;
    const startMs = 1000 * Number(words[words.indexOf('--sim-load-seconds') + 1]);
    const known = { startMs, stopMs: null, sleepMs: null, wakeMs: null };
    return [model.name, { signature: launchSignature(model), ...known }] as const;
  });
  const directory = runtime.stateDirectory;
  const opened = openStateDatabase({ directory, access: 'own', onFault: assert.fail });
  assert.ok(opened.ok);
  writeLearnedCosts(opened.value.database, Object.fromEntries(costs));
  opened.value.database.close();
  const parts: string[] = [];
  await runPlan({ file, environment, json: true }, { write: (text: string) => parts.push(text) });
  const plan = JSON.parse(parts.join('')) as {
    readonly models: readonly { readonly name: string; readonly making_room: { victims?: unknown } }[];
  };
  const [first, second] = names;
  const room = plan.models.find(({ name }) => name === second)?.making_room;
  assert.deepEqual(room?.victims, [{ model: first, how: 'sleep' }]);
});

test("the README's first configuration has no faults, and its schema is where it says in a checkout", async () => {
  const [, yaml = ''] = /^```yaml\n([\s\S]*?)^```$/m.exec(readme) ?? [];
  const loaded = await loadConfig({ object: parse(yaml), environment: {} });
  assert.ok(loaded.ok, loaded.ok ? '' : loaded.error.map(formatFault).join('\n'));
  assert.deepEqual([...loaded.value.models.keys()], ['qwen', 'coder', 'mistral']);
  const [, schema = ''] = /^# yaml-language-server: \$schema=(.*)$/m.exec(yaml) ?? [];
  assert.match(await readFile(new URL(schema, root), 'utf8'), /"\$schema"/);
});
