/** LoRA adapters as clients meet them: models of their own, in the engine of another one. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type RunningGateway, simulatedConfig, simulatedModel, startGateway } from '../fixtures/gateway.ts';
import { chat } from '../fixtures/requests.ts';

let gateway: RunningGateway;

before(async () => {
  const base = simulatedModel({
    args: ['--sim-tokens-per-second', 0],
    keys: { served_name: 'theirs', adapters: { poet: '/adapters/poet', 'team/critic': '/adapters/critic' } },
  });
  gateway = await startGateway({ config: simulatedConfig({ base }, { aliases: { verse: 'poet' } }) });
});
after(() => gateway.stop());

test('a request for an adapter starts its model, and the engine answers as the adapter', async () => {
  const cold = await chat(gateway.url, 'poet');
  assert.deepEqual(
    [cold.status, cold.headers.get('x-model'), cold.headers.get('x-load')],
    [200, 'base', 'cold'],
  );
  for (const [name, answeredAs] of [
    ['poet', 'poet'],
    ['verse', 'poet'],
    ['team/critic', 'team/critic'],
    ['base', 'theirs'],
  ] as const) {
    const answer = await chat(gateway.url, name);
    assert.equal(answer.headers.get('x-load'), 'hot', name);
    assert.equal((JSON.parse(answer.text) as { model: string }).model, answeredAs);
  }
});

test('adapters are listed with their model, and found by their names', async () => {
  const listed = (await (await fetch(`${gateway.url}/v1/models`)).json()) as {
    data: { id: string; parent: string | null; state: string }[];
  };
  assert.deepEqual(
    listed.data.map(({ id, parent, state }) => [id, parent, state]),
    [
      ['base', null, 'awake'],
      ['poet', 'base', 'awake'],
      ['team/critic', 'base', 'awake'],
      ['verse', 'base', 'awake'],
    ],
  );
  const one = (await (await fetch(`${gateway.url}/v1/models/team/critic`)).json()) as { parent: string };
  assert.equal(one.parent, 'base');
});
