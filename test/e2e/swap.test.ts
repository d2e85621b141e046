import assert from 'node:assert/strict';
import { test } from 'node:test';
import { processesNaming, simulatedConfig, simulatedModel, startGateway } from '../fixtures/gateway.ts';
import { sendChat } from '../fixtures/requests.ts';

test('requests alone start, swap there and back, and nothing is left behind', async () => {
  const gateway = await startGateway({
    config: simulatedConfig({ a: simulatedModel(), b: simulatedModel() }),
  });
  try {
    for (const model of ['a', 'b', 'a']) {
      const answer = await sendChat(gateway.url, model);
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get('x-load'), 'cold');
      const body = (await answer.json()) as { model: string };
      assert.equal(body.model, model);
    }
    const hot = await sendChat(gateway.url, 'a');
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
