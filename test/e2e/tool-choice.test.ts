import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simulatedConfig, simulatedModel, startGateway } from '../fixtures/gateway.ts';

const TOOLS = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }];

test('tool_parser ends the refusal of tool choice, which is passed on as the engine wrote it', async () => {
  const gateway = await startGateway({
    config: simulatedConfig({
      without: simulatedModel({ memoryMib: 4000 }),
      named: simulatedModel({ memoryMib: 4000, keys: { tool_parser: 'hermes', reasoning_parser: 'qwen3' } }),
    }),
  });
  const ask = async (model: string): Promise<{ status: number; text: string }> => {
    const answer = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Rain?' }], tools: TOOLS }),
    });
    return { status: answer.status, text: await answer.text() };
  };
  try {
    const refused = await ask('without');
    assert.equal(refused.status, 400);
    assert.match(refused.text, /requires --enable-auto-tool-choice and --tool-call-parser to be set/);
    const remedy =
      "requests with tools are refused: name the parser of the model's tool calls as its `tool_parser`";
    await ask('without');
    const warnings = gateway.log.filter(({ msg }) => msg === `without: ${remedy}`);
    assert.equal(warnings.length, 1);
    assert.equal((await ask('named')).status, 200);
    const status = (await (await fetch(`${gateway.url}/gateway/status`)).json()) as {
      models: Record<string, { remedy: string | null }>;
    };
    assert.deepEqual(
      Object.entries(status.models).map(([name, model]) => [name, model.remedy]),
      [
        ['without', remedy],
        ['named', null],
      ],
    );
  } finally {
    await gateway.kill();
  }
});
