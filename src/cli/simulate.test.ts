import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { runSimulate, type SimulateFlags } from './simulate.ts';
import type { SimulationReport } from './simulate-text.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'simulate-'));
after(() => rmSync(directory, { recursive: true }));

const EXAMPLES = path.join(import.meta.dirname, '../../examples/simulate');
const INPUTS = { world: path.join(EXAMPLES, 'world.json'), trace: path.join(EXAMPLES, 'trace.csv') };

async function simulated(flags: Partial<SimulateFlags>) {
  let text = '';
  const all = { policy: ['default'], seed: 1, timeScale: 1, world: INPUTS.world, ...flags };
  const code = await runSimulate(all, {
    write: (part: string) => {
      text += part;
      return true;
    },
  });
  return { code, text };
}

async function reported(flags: Partial<SimulateFlags>): Promise<SimulationReport> {
  const { text } = await simulated({ ...flags, json: true });
  return JSON.parse(text);
}

test('JSON has every figure, the same in each run but for times of this process', async () => {
  const report = await reported(INPUTS);
  assert.deepEqual(
    [report.world, report.policy, report.seed, report.time_scale, report.patience_s, report.requests],
    ['two-cards', 'default', 1, 1, null, 60],
  );
  for (const waits of [report.wait_s, report.not_ready_s, report.engine_full_s])
    assert.deepEqual(Object.keys(waits), ['mean', 'p50', 'p95', 'p99', 'max']);
  assert.deepEqual(Object.keys(report.moves), ['start', 'wake', 'sleep', 'stop']);
  assert.deepEqual([report.violations, report.violation_texts, report.served], [0, [], 60]);
  assert.ok(report.wait_s.max > 20 && report.moves.start >= 4 && report.decisions > 120);
  const timeless = ({ decisions_per_second, decision_us, wall_s, ...figures }: SimulationReport) => figures;
  assert.deepEqual(timeless(await reported(INPUTS)), timeless(report));
  assert.notDeepEqual(timeless(await reported({ ...INPUTS, seed: 2 })).wait_s, report.wait_s);
});

test('a slower workload waits less, and impatient clients leave', async () => {
  const report = await reported(INPUTS);
  const slow = await reported({ ...INPUTS, timeScale: 20 });
  assert.ok(slow.simulated_hours > 5 && report.simulated_hours < 1);
  const impatient = await reported({ ...INPUTS, patience: 10 });
  assert.ok(impatient.left > 0 && impatient.wait_s.max === 10);
  assert.equal(impatient.served + impatient.left, 60);
});

test('a readable table for one policy, and one row each for several', async () => {
  const one = await simulated(INPUTS);
  assert.equal(one.code, 0);
  for (const part of ['60 requests for 4 models', 'of it: engine not ready', 'moves', 'queue'])
    assert.ok(one.text.includes(part), part);
  const several = await simulated({ ...INPUTS, policy: ['default,llama-swap', 'lru'] });
  assert.equal(several.code, 0);
  for (const name of ['default', 'llama-swap', 'lru'])
    assert.match(several.text, new RegExp(`^ {2}${name} `, 'm'));
  const { text } = await simulated({ ...INPUTS, policy: ['default', 'lru'], json: true });
  assert.deepEqual(
    JSON.parse(text).map(({ policy }: SimulationReport) => policy),
    ['default', 'lru'],
  );
});

test('requests may be made up, and come from clients', async () => {
  const { requests, trace } = await reported({
    generate: 'aegaeon:n=3,rate=0.05,hours=0.2',
    closed: ['model=m0,clients=2,think_s=30,hours=0.2', 'model=other,requests=2'],
    lengths: INPUTS.trace,
  });
  assert.ok(requests > 60 && requests < 220, `${requests}`);
  assert.match(trace, /^aegaeon:.* \+ model=m0,.* \+ model=other/);
});

test('a share for switches is told to the scheduler', async () => {
  const flags = { closed: ['model=a+b+c+d+e,clients=12,think_s=2,hours=0.5'] };
  const [much, little] = [
    await reported({ ...flags, switchShare: 0.5 }),
    await reported({ ...flags, switchShare: 0.02 }),
  ];
  assert.ok(
    much.move_time_share > little.move_time_share,
    `${much.move_time_share} ${little.move_time_share}`,
  );
});

test('a policy of a file', async () => {
  const file = path.join(directory, 'lazy.ts');
  writeFileSync(file, "export const policy = { name: 'lazy', rebalance() {} };\n");
  const { violations, served, policy } = await reported({ ...INPUTS, policy: [file], patience: 5 });
  assert.deepEqual([violations, served, policy], [0, 0, file]);
  writeFileSync(path.join(directory, 'none.ts'), 'export const other = 1;\n');
  const none = await simulated({ ...INPUTS, policy: [path.join(directory, 'none.ts')] });
  assert.equal(none.code, 2);
  assert.match(none.text, /none\.ts: exports no `policy` with `name` and `rebalance`\. docs\/policies\.md/);
});

test('a picture of each policy', async () => {
  const picture = path.join(directory, 'run.svg');
  await simulated({ ...INPUTS, picture });
  assert.match(readFileSync(picture, 'utf8'), /^<svg .*two-cards/s);
  await simulated({ ...INPUTS, picture, policy: ['default,lru'] });
  assert.match(readFileSync(path.join(directory, 'run-lru.svg'), 'utf8'), /lru: requests waited/);
  const nowhere = await simulated({ ...INPUTS, picture: path.join(directory, 'none/run.svg') });
  assert.equal(nowhere.code, 2);
  assert.match(nowhere.text, /none\/run\.svg: cannot be written \(ENOENT\)/);
});

test('a bound is told beside the figures, once for all policies, and none is below it', async () => {
  const { code, text } = await simulated({
    ...INPUTS,
    policy: ['default,llama-swap'],
    bound: true,
    json: true,
  });
  const reports: readonly SimulationReport[] = JSON.parse(text);
  assert.equal(code, 0);
  assert.equal(reports.length, 2);
  for (const { bound, not_ready_s } of reports) {
    assert.ok(bound !== undefined && bound.demand_s > 0 && bound.ratio !== null);
    assert.ok(bound.clairvoyant_s <= bound.demand_s && bound.demand_s <= not_ready_s.mean);
    assert.ok(Math.abs(bound.ratio / (not_ready_s.mean / bound.demand_s) - 1) < 1e-3);
  }
  const table = await simulated({ ...INPUTS, bound: true });
  assert.match(table.text, /No schedule makes requests wait less.*load on demand +\d/s);
});

test('inputs that cannot be used are named with code 2', async () => {
  const cases: readonly (readonly [flags: Partial<SimulateFlags>, expected: RegExp])[] = [
    [{}, /simulate: nobody asks for anything\. Give --trace/],
    [{ ...INPUTS, policy: ['lur'] }, /--policy: lur: is no policy\. Did you mean lru/],
    [{ world: 'none.json', trace: INPUTS.trace }, /none\.json: cannot be read/],
    [{ ...INPUTS, bound: true, patience: 9 }, /--bound: --patience: the bound is one on requests that wait/],
    [{ closed: ['model=a'], bound: true }, /--bound: --closed: the bound needs to know all requests/],
    [{ generate: 'grid:n=x' }, /--generate: n: is "x"/],
  ];
  for (const [flags, expected] of cases) {
    const { code, text } = await simulated(flags);
    assert.equal(code, 2);
    assert.match(text, expected);
  }
});
