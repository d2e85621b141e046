/** Bodies beneath /engines/{model}/: the path names the model, and the body may not say another. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MODEL, startFixture } from './front-fixture.ts';

const PATH = `/engines/${MODEL}/v1/chat/completions`;

test('a body that names another model than the path is refused, and both are named', async (context) => {
  const { client, gate } = await startFixture(context, { servedName: 'org/served' });
  const raw = await client();
  for (const other of ['other', 'M1', '']) {
    const answer = await raw.post(PATH, { model: other }).answer();
    assert.equal(answer.status, 400, other);
    const { error } = JSON.parse(answer.body);
    assert.equal(error.code, 'model_conflict');
    assert(error.message.includes(`\`${MODEL}\``) && error.message.includes(`\`${other}\``), error.message);
  }
  assert.equal((await raw.post(PATH, `{"model":"${MODEL}","model":"other"}`).answer()).status, 400);
  assert.equal((await raw.post(PATH, '{"model":').answer()).status, 400);
  assert.deepEqual(gate.events, []);
});

test('a body that names the same model reaches the engine under its served name', async (context) => {
  const { client, engine } = await startFixture(context, {
    servedName: 'org/served',
    aliases: [{ pattern: 'alias-*', model: MODEL, requestDefaults: {} }],
  });
  engine.behaviour = (request) => request.json({});
  const raw = await client();
  for (const name of [MODEL, 'alias-1', 'org/served']) {
    assert.equal((await raw.post(PATH, { model: name, n: 1 }).answer()).status, 200, name);
    assert.equal(engine.requests.at(-1)?.body, '{"model":"org/served","n":1}');
  }
});

test('an alias in the body becomes the served name where the path needs no edit', async (context) => {
  const { client, engine } = await startFixture(context, {
    aliases: [{ pattern: 'alias', model: MODEL, requestDefaults: {} }],
  });
  engine.behaviour = (request) => request.json({});
  assert.equal((await (await client()).post(PATH, { model: 'alias' }).answer()).status, 200);
  assert.equal(engine.requests.at(-1)?.body, `{"model":"${MODEL}"}`);
});

test('bodies without a model, and those that are no object, pass as they are', async (context) => {
  const { client, engine } = await startFixture(context);
  engine.behaviour = (request) => request.json({});
  const raw = await client();
  for (const body of ['{"a": 1}', '[1, 2]', '{"model": null}', ' "text"']) {
    assert.equal((await raw.post(PATH, body).answer()).status, 200, body);
    assert.equal(engine.requests.at(-1)?.body, body);
  }
});

test('a body with more top-level keys than any route knows is refused with the number', async (context) => {
  const { client } = await startFixture(context);
  const keys = Array.from({ length: 1000 }, (_, index) => `"k${index}":1`).join(',');
  const answer = await (await client()).post('/v1/chat/completions', `{"model":"${MODEL}",${keys}}`).answer();
  assert.equal(answer.status, 400);
  assert.match(answer.body, /"code":"body_members"/);
  assert.match(answer.body, /1000/);
});

test("a model's path serves its adapters by name; an adapter's path serves that one alone", async (context) => {
  const { client, engine } = await startFixture(context, {
    servedName: 'org/served',
    adapters: { poet: '/p', other: '/o' },
    requestDefaults: { top_k: 1 },
  });
  engine.behaviour = (request) => request.json({});
  const raw = await client();
  const sent = async (path: string, body: object): Promise<string | undefined> => {
    const answer = await raw.post(path, body).answer();
    assert.equal(answer.status, 200, answer.body);
    assert.equal(answer.headers.get('x-model'), MODEL);
    return engine.requests.at(-1)?.body;
  };
  const poet = '/engines/poet/v1/chat/completions';
  assert.equal(await sent('/v1/chat/completions', { model: 'poet' }), '{"model":"poet","top_k":1}');
  assert.equal(await sent(PATH, { model: 'poet' }), '{"model":"poet","top_k":1}');
  assert.equal(await sent(PATH, { model: MODEL }), '{"model":"org/served","top_k":1}');
  assert.equal(await sent(poet, { model: 'poet' }), '{"model":"poet","top_k":1}');
  assert.equal(await sent(poet, { n: 1 }), '{"n":1,"top_k":1,"model":"poet"}');
  for (const model of [MODEL, 'other', 'nobody']) {
    const refused = await raw.post(poet, { model }).answer();
    assert.match(refused.body, /"code":"model_conflict"/, model);
  }
});
