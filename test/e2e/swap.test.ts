import assert from 'node:assert/strict';
import { test } from 'node:test';
import { processesNaming, simulatedConfig, simulatedModel, startGateway } from '../fixtures/gateway.ts';

async function chat(url: string, model: string, content = 'Hello'): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content }], max_tokens: 8 }),
  });
}

test('requests alone start, swap there and back, and nothing is left behind', async () => {
  const gateway = await startGateway({
    config: simulatedConfig({ a: simulatedModel(), b: simulatedModel() }),
  });
  try {
    for (const model of ['a', 'b', 'a']) {
      const answer = await chat(gateway.url, model);
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get('x-load'), 'cold');
      const body = (await answer.json()) as { model: string };
      assert.equal(body.model, model);
    }
    const hot = await chat(gateway.url, 'a');
    assert.equal(hot.headers.get('x-load'), 'hot');
    await hot.text();
    const { gpus } = await gateway.status();
    assert.deepEqual(gpus['sim-gpu-0']?.residents, ['a']);
  } finally {
    assert.equal(await gateway.stop({ keep: true }), 0);
    assert.deepEqual(await processesNaming(gateway.directory), []);
    await gateway.kill();
  }
  assert.deepEqual(gateway.errors, []);
});
