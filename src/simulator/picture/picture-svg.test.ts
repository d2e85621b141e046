import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simulate, testCosts, testRequest, testWorld } from '../simulation-fixtures.ts';
import { PictureRecorder } from './picture-recorder.ts';
import { pictureSvg } from './picture-svg.ts';
import type { SimulationPicture } from './simulation-picture.ts';

const MODELS = ['a', 'b<&">'] as const;

async function recorded(): Promise<SimulationPicture> {
  const world = testWorld({ sleep: true, palette: [testCosts()] });
  const recorder = new PictureRecorder(world, ['a', 'b']);
  const requests = [0, 60_000, 120_000].map((atMs, index) => testRequest(atMs, index % 2 === 0 ? 'a' : 'b'));
  const { end } = await simulate(requests, { world, observers: [recorder] });
  return recorder.picture('a <title>', ['figures'], end.endMs);
}

test('a run is recorded: each hold with its state, queues while requests wait', async () => {
  const { lanes, queues, endMs, queueColumnMs } = await recorded();
  const [lane] = lanes;
  const states = lane?.slices.map(({ holds }) => holds.map(({ model, state }) => `${model} ${state}`).join());
  assert.deepEqual(states?.slice(0, 3), ['a moving', 'a awake', 'a moving']);
  assert.ok(states?.some((state) => state.includes('a asleep') && state.includes('b moving')));
  const sleeper = lane?.slices.flatMap(({ holds }) => holds).find(({ state }) => state === 'asleep');
  assert.equal(sleeper?.mib, 400);
  assert.equal(lane?.slices.at(-1)?.toMs, endMs);
  const waited = queues
    .flatMap(({ lengths }) => lengths)
    .reduce((sum, length) => sum + length * queueColumnMs, 0);
  assert.ok(waited > 20_000 && waited < 30_000, `${waited}`);
});

test('the picture is one well-formed SVG that stands alone, the same each time', async () => {
  const picture = await recorded();
  const svg = pictureSvg({ ...picture, models: MODELS });
  assert.equal(svg, pictureSvg({ ...picture, models: MODELS }));
  assert.ok(svg.startsWith('<svg xmlns="http://www.w3.org/2000/svg"'));
  assert.doesNotMatch(svg, /NaN|Infinity|undefined|href|<script/);
  assert.ok(svg.includes('a &#60;title&#62;') && svg.includes('b&#60;&#38;&#34;&#62;'));
  for (const text of ['gpu-0', 'waiting', 'url(#hatch)', 'figures', '<title>a, moving</title>'])
    assert.ok(svg.includes(text), text);
  // Every element is closed.
  const opened = svg.match(/<[a-z]+(?:\s[^>]*[^/])?>/g) ?? [];
  assert.equal(opened.length, (svg.match(/<\/[a-z]+>/g) ?? []).length);
});

test('nothing at all can be drawn, and many models are not all named', () => {
  const empty = { title: '', subtitles: [], endMs: 0, lanes: [], queues: [], queueColumnMs: 10, models: [] };
  assert.doesNotMatch(pictureSvg(empty), /NaN|Infinity/);
  const models = Array.from({ length: 200 }, (_, index) => `model-${index}`);
  assert.ok(pictureSvg({ ...empty, models }).includes('and 165 more'));
});
