import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startVllmSim } from '../../../../test/fakes/vllm-sim.ts';
import { until } from '../../../../test/fakes/waiting.ts';

const INPUT = { input: 'hi', max_output_tokens: 20, ignore_eos: true };

test('with the store, responses are kept, made in the background, and cancelled', async (t) => {
  const environment = { VLLM_ENABLE_RESPONSES_API_STORE: '1' };
  const sim = startVllmSim(t, { args: ['--sim-tokens-per-second', '50'], environment });
  await sim.ready();
  const create = (more: object) => sim.request({ path: '/v1/responses', body: { ...INPUT, ...more } });
  const get = async (id: unknown) => (await sim.request({ path: `/v1/responses/${String(id)}` })).json();
  const cancel = (id: unknown) => sim.request({ path: `/v1/responses/${String(id)}/cancel`, body: {} });

  await t.test('a synchronous one is there afterwards, and cannot be cancelled', async () => {
    const made = (await create({})).json();
    assert.deepEqual(await get(made.id), made);
    assert.equal((await cancel(made.id)).status, 400);
    const unkept = (await create({ store: false })).json();
    assert.match(JSON.stringify(await get(unkept.id)), /not found/);
  });

  await t.test('one in the background is queued until it is done', async () => {
    const queued = (await create({ background: true })).json();
    assert.deepEqual([queued.status, queued.background, queued.output], ['queued', true, []]);
    assert.equal((await get(queued.id)).status, 'queued');
    await until('it is done', async () => (await get(queued.id)).status === 'incomplete');
    assert.equal(((await get(queued.id)).usage as { output_tokens: number }).output_tokens, 20);
  });

  await t.test('a cancelled one stays cancelled', async () => {
    const queued = (await create({ background: true, max_output_tokens: 2000 })).json();
    assert.equal((await cancel(queued.id)).json().status, 'cancelled');
    assert.equal((await cancel(queued.id)).status, 400);
    assert.equal((await get(queued.id)).status, 'cancelled');
  });

  await t.test('one goes on from another, whose text it then has before it', async () => {
    const first = (await create({})).json();
    const tokens = ({ usage }: Record<string, unknown>) => (usage as { input_tokens: number }).input_tokens;
    const next = (await create({ previous_response_id: first.id })).json();
    assert.equal(next.previous_response_id, first.id);
    assert.ok(tokens(next) > tokens(first) + 15);
    assert.equal((await create({ previous_response_id: 'resp_none' })).status, 404);
  });
});

test('without the store nothing is kept, and nothing made in the background', async (t) => {
  const sim = startVllmSim(t, { args: ['--sim-tokens-per-second', '0'] });
  await sim.ready();
  const refused = await sim.request({ path: '/v1/responses', body: { ...INPUT, background: true } });
  assert.equal(refused.status, 400);
  assert.match(refused.text, /VLLM_ENABLE_RESPONSES_API_STORE=1/);
  const made = (await sim.request({ path: '/v1/responses', body: INPUT })).json();
  assert.equal((await sim.request({ path: `/v1/responses/${String(made.id)}` })).status, 404);
});
