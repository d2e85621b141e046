/** Servers that we do not manage (`url`), commands of the user's own, aliases, and keys: one gateway in front of another. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type RunningGateway, simulatedConfig, simulatedModel, startGateway } from '../fixtures/gateway.ts';
import { chatResult, sendChat } from '../fixtures/requests.ts';

const SIMULATOR = fileURLToPath(new URL('../../bin/vllm-sim.mjs', import.meta.url));
const KEY = 'a-key-for-the-inner-gateway';

let inner: RunningGateway;
let outer: RunningGateway;
const keysFile = join(tmpdir(), `vg-keys-${process.pid}`);

before(async () => {
  await writeFile(keysFile, `# keys of the inner gateway\nouter: ${KEY}\n`, { mode: 0o600 });
  inner = await startGateway({
    config: simulatedConfig({ real: simulatedModel({ args: ['--sim-answer', 'echo'] }) }),
    args: ['--api-keys-file', keysFile],
  });
  outer = await startGateway({
    config: simulatedConfig(
      {
        foreign: { url: { base: `${inner.url}/v1`, api_key_env: 'INNER_KEY' }, served_name: 'real' },
        dead: { url: 'http://127.0.0.1:9' },
        own: {
          engine: 'openai',
          command: [
            process.execPath,
            SIMULATOR,
            'serve',
            'x',
            '--served-model-name',
            '{name}',
            '--uds',
            '{socket}',
            '--sim-load-seconds',
            '0.1',
            '--sim-memory-mib',
            '1000',
          ],
          memory_mib: 1_000,
        },
        capped: simulatedModel({
          args: ['--sim-answer', 'echo'],
          keys: { request_defaults: { max_tokens: 3 } },
        }),
      },
      {
        aliases: { 'gpt-*': 'own', short: { model: 'capped', request_defaults: { max_tokens: 2 } } },
        default_model: 'own',
      },
    ),
    environment: { INNER_KEY: KEY },
  });
});

after(async () => {
  assert.equal(await outer.stop(), 0);
  assert.equal(await inner.stop(), 0);
});

test('a foreign server gets its own key and its own name of the model, and takes no device', async () => {
  const answer = await sendChat(outer.url, 'foreign', { content: 'one two' });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('x-model'), 'foreign');
  const body = (await answer.json()) as { choices: { message: { content: string } }[] };
  assert.match(body.choices[0]?.message.content ?? '', /one two/);
  const { models } = await outer.status();
  assert.equal(models.foreign?.state, 'external');
});

test('a foreign server that does not answer is named', async () => {
  const result = await chatResult(outer.url, 'dead');
  assert.equal(result.status, 502);
  assert.equal(result.code, 'engine_unreachable');
});

test("a command of the user's own is started, found by a glob and by default", async () => {
  assert.equal((await chatResult(outer.url, 'gpt-4o')).status, 200);
  const answer = await fetch(`${outer.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'no model' }] }),
  });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('x-model'), 'own');
});

test('defaults of the model and of the alias fill what the caller left out, and nothing else', async () => {
  const tokens = async (model: string, more: object): Promise<number> => {
    const answer = await fetch(`${outer.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model, messages: [{ role: 'user', content: 'a b c d e f g h i' }], ...more }),
    });
    const body = (await answer.json()) as { usage: { completion_tokens: number } };
    return body.usage.completion_tokens;
  };
  assert.equal(await tokens('capped', {}), 3);
  assert.equal(await tokens('short', {}), 2);
  assert.equal(await tokens('capped', { max_tokens: 1 }), 1);
});

test('with keys nothing but the probes answers without one, and the key is not passed on', async () => {
  const without = await chatResult(inner.url, 'real');
  assert.equal(without.status, 401);
  assert.equal(without.code, 'key_missing');
  for (const path of ['/v1/models', '/metrics', '/gateway/status']) {
    assert.equal((await fetch(inner.url + path)).status, 401, path);
  }
  for (const path of ['/health', '/ready']) assert.equal((await fetch(inner.url + path)).status, 200, path);
  const wrong = await fetch(`${inner.url}/v1/models`, { headers: { 'x-api-key': 'not-the-right-key' } });
  assert.equal(wrong.status, 401);
  const right = await fetch(`${inner.url}/v1/models`, { headers: { authorization: `Bearer ${KEY}` } });
  assert.equal(right.status, 200);
});

test('any other path reaches the engine by the model in the path, and none that changes it does', async () => {
  const version = await fetch(`${outer.url}/engines/own/version`);
  assert.equal(version.status, 200);
  assert.match(await version.text(), /version/);
  for (const path of ['/sleep', '/collective_rpc', '/v1/load_lora_adapter']) {
    const answer = await fetch(`${outer.url}/engines/own${path}`, {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json' },
    });
    assert.equal(answer.status, 403, path);
  }
});
