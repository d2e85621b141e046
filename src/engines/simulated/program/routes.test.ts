import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startVllmSim } from '../../../../test/fakes/vllm-sim.ts';

test('a generating server: routes, cards, errors in vLLM’s shapes', async (t) => {
  const sim = startVllmSim(t, { args: ['--served-model-name', 'first', 'second', '--max-model-len', '64'] });
  await sim.ready();

  await t.test('health and ping are empty 200s', async () => {
    for (const [method, path] of [
      ['GET', '/health'],
      ['GET', '/ping'],
      ['POST', '/ping'],
    ] as const) {
      const answer = await sim.request({ method, path });
      assert.deepEqual([answer.status, answer.text, answer.headers.server], [200, '', 'uvicorn'], path);
    }
  });

  await t.test('every served name has a card with the length', async () => {
    const answer = await sim.request({ path: '/v1/models' });
    const { data } = answer.json() as { data: { id: string; root: string; max_model_len: number }[] };
    assert.deepEqual(
      data.map((card) => [card.id, card.root, card.max_model_len]),
      [
        ['first', 'acme/small', 64],
        ['second', 'acme/small', 64],
      ],
    );
  });

  await t.test('the first served name stands in answers, whichever was asked for', async () => {
    const answer = await sim.request({
      path: '/v1/chat/completions',
      body: { model: 'second', messages: [{ role: 'user', content: 'hi' }] },
    });
    assert.equal(answer.json().model, 'first');
  });

  await t.test('an unknown model is 404 with the valid names', async () => {
    const answer = await sim.request({ path: '/v1/completions', body: { model: 'third', prompt: 'hi' } });
    assert.equal(answer.status, 404);
    assert.deepEqual(answer.json(), {
      error: {
        message: 'The model `third` does not exist. Valid aliases: first, second.',
        type: 'NotFoundError',
        param: 'model',
        code: 404,
      },
    });
  });

  await t.test('unknown paths and wrong methods keep the framework’s shape', async () => {
    const missing = await sim.request({ path: '/nothing' });
    assert.deepEqual([missing.status, missing.text], [404, '{"detail":"Not Found"}']);
    const wrong = await sim.request({ path: '/v1/chat/completions' });
    assert.deepEqual([wrong.status, wrong.text], [405, '{"detail":"Method Not Allowed"}']);
    assert.equal((await sim.request({ path: '/v1/embeddings', body: { input: 'x' } })).status, 404);
  });

  await t.test('development and scale-out routes are closed', async () => {
    assert.equal((await sim.request({ method: 'POST', path: '/sleep' })).status, 404);
    const forbidden = await sim.request({ path: '/v1/chat/completions/render', body: {} });
    assert.equal(forbidden.status, 403);
  });

  const bad = async (options: {
    rawBody?: string;
    body?: unknown;
    type?: string;
  }): Promise<[number, string]> => {
    const answer = await sim.request({
      path: '/v1/chat/completions',
      ...(options.rawBody === undefined ? { body: options.body } : { rawBody: options.rawBody }),
      headers: { 'content-type': options.type ?? 'application/json' },
    });
    return [answer.status, (answer.json() as { error: { message: string } }).error.message];
  };

  await t.test('bad bodies are 400 with one message for each fault', async () => {
    assert.deepEqual(await bad({ body: {} }), [
      400,
      "1 validation error:\n  {'type': 'missing', 'loc': 'body.messages', 'msg': 'Field required', 'input': '<dict of 0 items>'}",
    ]);
    const [status, message] = await bad({ rawBody: '{"messages": [' });
    assert.equal(status, 400);
    assert.match(message, /'type': 'json_invalid'.*'msg': 'JSON decode error'/);
    assert.match(
      (await bad({ rawBody: '{}', type: 'text/plain' }))[1],
      /Unsupported Media Type: Only 'application\/json'/,
    );
    assert.match((await bad({ rawBody: '[]' }))[1], /Input should be a valid dictionary/);
    const messages = [{ role: 'user', content: 'x' }];
    assert.match((await bad({ body: { messages, stream: 'perhaps' } }))[1], /body\.stream/);
    assert.match((await bad({ body: { messages, max_tokens: 'many', n: [] } }))[1], /^2 validation errors:/);
    assert.match(
      (await bad({ body: { messages, stream_options: {} } }))[1],
      /Stream options can only be defined/,
    );
  });

  await t.test('a prompt beyond the length is 400 in vLLM’s words', async () => {
    const content = 'word '.repeat(100);
    const [status, message] = await bad({ body: { messages: [{ role: 'user', content }] } });
    assert.equal(status, 400);
    assert.equal(
      message,
      "This model's maximum context length is 64 tokens. However, your prompt contains at least 65 input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. (parameter=input_tokens, value=65)",
    );
  });

  await t.test('more output than the length is refused', async () => {
    const [, message] = await bad({ body: { messages: [{ role: 'user', content: 'x' }], max_tokens: 65 } });
    assert.match(message, /max_tokens=65 cannot be greater than/);
  });

  await t.test('tokenize and detokenize agree', async () => {
    const tokens = (await sim.request({ path: '/tokenize', body: { prompt: 'one two three' } })).json();
    assert.equal(tokens.count, 3);
    const text = (await sim.request({ path: '/detokenize', body: { tokens: tokens.tokens } })).json();
    assert.equal(text.prompt, 'one two three');
  });

  await t.test('metrics carry vLLM’s names and labels', async () => {
    const { text } = await sim.request({ path: '/metrics' });
    for (const series of [
      'vllm:num_requests_running{engine="0",model_name="first"} 0.0',
      'vllm:num_requests_waiting{engine="0",model_name="first"} 0.0',
      'vllm:engine_sleep_state{engine="0",model_name="first",sleep_state="awake"} 1.0',
      'vllm:request_success_total{engine="0",model_name="first",finished_reason="stop"} 1.0',
      'vllm:time_to_first_token_seconds_count{engine="0",model_name="first"} 1.0',
    ]) {
      assert.ok(text.includes(series), `${series} is missing in:\n${text}`);
    }
  });
});

test('an embedding model serves pooling routes only', async (t) => {
  const sim = startVllmSim(t, { model: 'acme/MiniLM-L6', args: ['--sim-embedding-size', '8'] });
  await sim.ready();
  const answer = await sim.request({
    path: '/v1/embeddings',
    body: { model: 'acme/MiniLM-L6', input: ['a', 'b', 'a'] },
  });
  const { data, usage } = answer.json() as {
    data: { embedding: number[] }[];
    usage: { prompt_tokens: number };
  };
  assert.deepEqual(
    data.map((entry) => entry.embedding.length),
    [8, 8, 8],
  );
  assert.deepEqual(data[0]?.embedding, data[2]?.embedding);
  assert.notDeepEqual(data[0]?.embedding, data[1]?.embedding);
  assert.equal(usage.prompt_tokens, 3);
  const encoded = await sim.request({
    path: '/v1/embeddings',
    body: { input: 'a', encoding_format: 'base64' },
  });
  const [first] = (encoded.json() as { data: { embedding: string }[] }).data;
  const bytes = Buffer.from(first?.embedding ?? '', 'base64');
  assert.ok(Math.abs(bytes.readFloatLE(0) - (data[0]?.embedding[0] ?? 0)) < 1e-6);
  assert.equal((await sim.request({ path: '/v1/chat/completions', body: {} })).status, 404);
  const cohere = await sim.request({ path: '/v2/embed', body: { texts: ['a'] } });
  const { embeddings } = cohere.json() as { embeddings: { float: number[][] } };
  assert.deepEqual(embeddings.float[0], data[0]?.embedding);
  const ranked = await sim.request({
    path: '/rerank',
    body: { query: 'capital of France', documents: ['bread', 'Paris is the capital of France'] },
  });
  assert.equal((ranked.json() as { results: { index: number }[] }).results[0]?.index, 1);
  const scores = await sim.request({ path: '/score', body: { text_1: 'a', text_2: ['a', 'b'] } });
  assert.equal((scores.json() as { data: unknown[] }).data.length, 2);
});

test('batches, scores and decisions of a generating server', async (t) => {
  const sim = startVllmSim(t, { args: ['--served-model-name', 'm'] });
  await sim.ready();
  const user = (content: string) => [{ role: 'user', content }];
  const batch = await sim.request({
    path: '/v1/chat/completions/batch',
    body: { model: 'm', messages: [user('one'), user('two')], max_tokens: 3 },
  });
  const { choices, usage } = batch.json() as {
    choices: { index: number; message: { content: string } }[];
    usage: { completion_tokens: number };
  };
  assert.deepEqual(
    choices.map((choice) => choice.index),
    [0, 1],
  );
  assert.equal(choices[1]?.message.content, await sim.chat('two', { max_tokens: 3 }));
  assert.equal(usage.completion_tokens, 6);
  const many = { model: 'm', messages: [user('one')], n: 2 };
  assert.equal((await sim.request({ path: '/v1/chat/completions/batch', body: many })).status, 400);

  const scored = await sim.request({
    path: '/generative_scoring',
    body: { model: 'm', query: 'is it?', items: ['a', 'b'], label_token_ids: [1, 2] },
  });
  const { data } = scored.json() as { data: { object: string; score: number }[] };
  assert.ok(
    data.length === 2 && data.every(({ object, score }) => object === 'score' && score > 0 && score < 1),
  );

  const decided = await sim.request({
    path: '/v1/systemone',
    body: {
      model: 'm',
      state: { text: 'late' },
      questions: {
        urgent: { type: 'noul' },
        where: { type: 'choice', criteria: { here: 'a', there: 'b' } },
        how: { type: 'score', criteria: ['low', 'high'] },
      },
    },
  });
  const { answers } = decided.json() as { answers: Record<string, { type: string; choice?: string }> };
  assert.deepEqual(Object.keys(answers), ['urgent', 'where', 'how']);
  assert.match(answers['where']?.choice ?? '', /^(here|there)$/);
  const odd = { model: 'm', state: '', questions: { a: { type: 'other' } } };
  assert.equal((await sim.request({ path: '/v1/systemone', body: odd })).status, 400);
  assert.equal(
    (await sim.request({ path: '/v1/systemone', body: { model: 'm', questions: {} } })).status,
    400,
  );
});

test('keys guard only the versioned paths', async (t) => {
  const sim = startVllmSim(t, { args: ['--api-key', 'k1', 'k2'] });
  await sim.ready();
  const refused = await sim.request({ path: '/v1/models' });
  assert.deepEqual([refused.status, refused.text], [401, '{"error":"Unauthorized"}']);
  const header = await sim.request({ path: '/v1/models', headers: { 'x-api-key': 'k1' } });
  assert.equal(header.status, 401);
  const allowed = await sim.request({ path: '/v1/models', headers: { authorization: 'Bearer k2' } });
  assert.equal(allowed.status, 200);
  assert.equal((await sim.request({ path: '/tokenize', body: { prompt: 'x' } })).status, 200);
});

test('request ids are echoed only with the flag, and become the answer’s id', async (t) => {
  const sim = startVllmSim(t, { args: ['--enable-request-id-headers'] });
  await sim.ready();
  const answer = await sim.request({
    path: '/v1/completions',
    body: { prompt: 'x' },
    headers: { 'x-request-id': 'mine' },
  });
  assert.equal(answer.headers['x-request-id'], 'mine');
  assert.equal(answer.json().id, 'cmpl-mine');
});

test('adapters of the command line are names of their own, with the model as their parent', async (t) => {
  const modules = ['poet=/adapters/poet', '{"name": "a,b", "path": "/adapters/ab"}'];
  const sim = startVllmSim(t, {
    args: ['--served-model-name', 'base', '--enable-lora', '--max-loras', '2', '--lora-modules', ...modules],
  });
  await sim.ready();
  const { data } = (await sim.request({ path: '/v1/models' })).json() as {
    data: { id: string; root: string; parent: string | null; max_model_len: number | null }[];
  };
  assert.deepEqual(
    data.map((card) => [card.id, card.root, card.parent, card.max_model_len === null]),
    [
      ['base', 'acme/small', null, false],
      ['poet', '/adapters/poet', 'base', true],
      ['a,b', '/adapters/ab', 'base', true],
    ],
  );
  const answer = await sim.request({ path: '/v1/completions', body: { model: 'poet', prompt: 'x' } });
  assert.equal(answer.json().model, 'poet');
});

test('adapters are loaded and unloaded at run time', async (t) => {
  const sim = startVllmSim(t, { environment: { VLLM_ALLOW_RUNTIME_LORA_UPDATING: '1' } });
  await sim.ready();
  const adapter = { lora_name: 'poet', lora_path: '/adapters/poet' };
  const loaded = await sim.request({ path: '/v1/load_lora_adapter', body: adapter });
  assert.deepEqual([loaded.status, loaded.text], [200, "Success: LoRA adapter 'poet' added successfully."]);
  assert.equal((await sim.request({ path: '/v1/load_lora_adapter', body: adapter })).status, 400);
  const answer = await sim.request({ path: '/v1/completions', body: { model: 'poet', prompt: 'x' } });
  assert.equal(answer.json().model, 'poet');
  const unloaded = await sim.request({ path: '/v1/unload_lora_adapter', body: { lora_name: 'poet' } });
  assert.equal(unloaded.status, 200);
  assert.equal(
    (await sim.request({ path: '/v1/completions', body: { model: 'poet', prompt: 'x' } })).status,
    404,
  );
});
