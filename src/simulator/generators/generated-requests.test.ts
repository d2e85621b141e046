import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import type { SimulatedRequest } from '../request-source.ts';
import { generatedRequests } from './generated-requests.ts';
import { fittedLengths, recordedLengths } from './lengths.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'lengths-'));
after(() => rmSync(directory, { recursive: true }));

function generated(text: string, seed = 1): readonly SimulatedRequest[] {
  const stream = generatedRequests(text, seed, fittedLengths).open();
  const requests: SimulatedRequest[] = [];
  for (let request = stream.next(); request !== null; request = stream.next()) requests.push(request);
  stream.close();
  return requests;
}

/** Requests of each model, the busiest first. */
function counts(requests: readonly SimulatedRequest[]): readonly number[] {
  const byModel = new Map<string, number>();
  for (const { model } of requests) byModel.set(model, (byModel.get(model) ?? 0) + 1);
  return [...byModel.values()].sort((a, b) => b - a);
}

function gapsCv(requests: readonly SimulatedRequest[]): number {
  const gaps = requests.slice(1).map(({ atMs }, index) => atMs - (requests[index]?.atMs ?? 0));
  const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
  return Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length) / mean;
}

function near(found: number, expected: number, share: number, what: string): void {
  assert.ok(Math.abs(found / expected - 1) < share, `${what}: ${found}, expected ${expected}`);
}

test('every recipe is in order of time, within its hours, and the same for the same seed', () => {
  for (const name of ['grid', 'muxserve', 'alpaserve', 'aegaeon', 'prism']) {
    const text = `${name}:n=12,rate=2,hours=0.5`;
    const requests = generated(text);
    assert.ok(requests.length > 50, name);
    assert.ok(
      requests.every(({ atMs }, index) => atMs >= (requests[index - 1]?.atMs ?? 0)),
      name,
    );
    assert.ok((requests.at(-1)?.atMs ?? 0) < 1_800_000, name);
    assert.deepEqual(generated(text), requests, name);
    assert.notDeepEqual(generated(text, 2), requests, name);
    assert.deepEqual(generated(`${text},seed=1`, 2), requests, name);
  }
});

test('muxserve: the first model has the rate, the others follow the power law', () => {
  const found = counts(generated('muxserve:n=19,a=0.9,rate=40,hours=0.28'));
  near(found[0] ?? 0, 40 * 1008, 0.03, 'first');
  near(found[9] ?? 0, 40 * 1008 * 10 ** -0.9, 0.05, 'tenth');
  const total = found.reduce((sum, count) => sum + count, 0);
  // Scheduling papers quote 54 % for the four largest of 19 at this exponent.
  near(found.slice(0, 4).reduce((sum, count) => sum + count, 0) / total, 0.54, 0.03, 'top fifth');
});

test('alpaserve: gamma gaps of the cv that was asked for', () => {
  const requests = generated('alpaserve:n=1,rate=10,cv=4,hours=4');
  near(requests.length, 144_000, 0.04, 'count');
  near(gapsCv(requests), 4, 0.04, 'cv');
});

test('aegaeon: Poisson at the same rate for each model, lengths multiplied', () => {
  const requests = generated('aegaeon:n=40,rate=0.1,hours=2');
  near(requests.length, 40 * 720, 0.02, 'count');
  near(gapsCv(requests.filter(({ model }) => model === 'm07')), 1, 0.1, 'cv');
  const doubled = generated('aegaeon:n=40,rate=0.1,hours=2,output=2');
  assert.equal(doubled[5]?.outputTokens, 2 * (requests[5]?.outputTokens ?? 0));
  assert.equal(doubled[5]?.promptTokens, requests[5]?.promptTokens);
});

test('prism: the first model has (1/n)^a of all, and models that are off get nothing', () => {
  const all = generated('prism:n=16,a=0.1,rate=5,hours=2');
  const first = all.filter(({ model }) => model === 'm00').length / all.length;
  near(first, (1 / 16) ** 0.1, 0.02, 'share of the first');
  const cycling = generated('prism:n=16,a=0.1,rate=5,hours=2,cycling=1,on_s=60,off_s=60');
  near(cycling.length, all.length / 2, 0.25, 'half of the time off');
});

test('grid: the rate in the long run, popularity, bursts, and ranks that drift', () => {
  const steady = generated('grid:n=16,a=1.3,cv=1,rate=2,q=1,hours=20,drift_hours=1000');
  near(steady.length, 144_000, 0.02, 'count');
  const found = counts(steady);
  near((found[0] ?? 0) / (found[3] ?? 1), 4 ** 1.3, 0.06, 'first against fourth');
  near(gapsCv(steady.filter(({ model }) => model === steady[0]?.model)), 1, 0.05, 'Poisson');
  const bursty = generated('grid:n=16,a=0.9,cv=4,rate=2,q=0.2,hours=40');
  near(bursty.length, 288_000, 0.1, 'count with off times');
  assert.ok(gapsCv(bursty.filter(({ model }) => model === 'm03')) > 4);
  const busiest = (fromMs: number) => {
    const part = steadyDrift.filter(({ atMs }) => atMs >= fromMs && atMs < fromMs + 7_200_000);
    return part.filter(({ model }) => model === 'm00').length;
  };
  const steadyDrift = generated('grid:n=16,a=2.1,cv=1,rate=1,q=1,hours=8,drift_hours=2');
  const found0 = [0, 1, 2, 3].map((period) => busiest(period * 7_200_000));
  assert.ok(Math.max(...found0) > 2 * Math.min(...found0), `${found0}`);
});

test('lengths come in pairs from a file, or from the fit', () => {
  const file = path.join(directory, 'pairs.csv');
  writeFileSync(file, 't_ms,model,prompt_tokens,output_tokens\n0,a,10,1\n1,a,20,2\n2,a,30,3\n');
  const stream = generatedRequests('aegaeon:hours=0.1', 1, recordedLengths(file)).open();
  const seen = new Set<number>();
  for (let request = stream.next(); request !== null; request = stream.next()) {
    assert.equal(request.promptTokens, 10 * request.outputTokens);
    seen.add(request.outputTokens);
  }
  assert.deepEqual([...seen].sort(), [1, 2, 3]);
  const prompts = generated('aegaeon:hours=5').map(({ promptTokens }) => promptTokens);
  // The trace's own mean is 1,155.
  near(prompts.reduce((sum, count) => sum + count, 0) / prompts.length, 1155, 0.1, 'mean prompt');
});

test('what is wrong is named', () => {
  const cases: readonly (readonly [text: string, expected: RegExp])[] = [
    ['gird:n=3', /--generate: gird: is no recipe\. Known are grid, muxserve/],
    ['grid:n=0', /--generate: n: is "0"\. Give a whole number, at least 1, at most 10000/],
    ['grid:q=0', /q: is "0"\. Give a number, more than 0, at most 1/],
    ['grid:drift_hour=3', /drift_hour: is not known\. Did you mean drift_hours/],
    ['grid:n', /n: is no `key=value`/],
    ['grid:n=3,n=4', /n: stands here twice/],
  ];
  for (const [text, expected] of cases) assert.throws(() => generated(text), expected);
});
