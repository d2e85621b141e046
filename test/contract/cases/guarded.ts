/** An embedding engine behind API keys, on a Unix socket, without development routes. */
import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { ContractCase } from '../contract-case.ts';
import { apiKey } from '../sides.ts';

const headers = { authorization: `Bearer ${apiKey}` };

export const guardedCases: readonly ContractCase[] = [
  {
    name: 'keys: missing, wrong and in the wrong header',
    server: 'guarded',
    run: async ({ ask, model }) => {
      const json = { model, input: 'one' };
      await ask('missing', { path: '/v1/embeddings', json });
      await ask('wrong', { path: '/v1/embeddings', json, headers: { authorization: 'Bearer nothing' } });
      await ask('x-api-key', { path: '/v1/embeddings', json, headers: { 'x-api-key': apiKey } });
      await ask('basic', { path: '/v1/embeddings', json, headers: { authorization: `Basic ${apiKey}` } });
      await ask('models', { path: '/v1/models' });
      await ask('before the route', { path: '/v1/nothing' });
    },
  },
  {
    name: 'keys: each of them opens',
    server: 'guarded',
    run: async ({ ask }) => {
      await ask('first', { path: '/v1/models', headers });
      await ask('second', { path: '/v1/models', headers: { authorization: 'Bearer second-key' } });
    },
  },
  {
    name: 'keys: what lies outside /v1 and /v2 is open',
    server: 'guarded',
    run: async ({ ask, model }) => {
      for (const path of ['/health', '/version', '/metrics', '/load']) await ask(path, { path });
      await ask('/pooling', { path: '/pooling', json: { model, input: 'one' } });
      await ask('/tokenize', { path: '/tokenize', json: { model, prompt: 'one' } });
      await ask('OPTIONS', { path: '/v1/embeddings', method: 'OPTIONS' });
    },
  },
  {
    name: 'embeddings of a text, of texts and of tokens',
    server: 'guarded',
    run: async ({ ask, model }) => {
      const path = '/v1/embeddings';
      await ask('text', { path, headers, json: { model, input: 'one two' } });
      await ask('texts', { path, headers, json: { model, input: ['one', 'two'] } });
      await ask('tokens', { path, headers, json: { model, input: [101, 2028, 102] } });
      await ask('base64', { path, headers, json: { model, input: 'one', encoding_format: 'base64' } });
    },
  },
  {
    name: 'embeddings: what is refused',
    server: 'guarded',
    differences: [
      {
        line: /^no input: \$\.error\.(message|param|type)/,
        reason: 'vLLM lists what each of its seven request forms lacks; vllm-sim names the one field',
      },
    ],
    run: async ({ ask, model }) => {
      const path = '/v1/embeddings';
      await ask('unknown model', { path, headers, json: { model: 'nobody', input: 'one' } });
      await ask('too long', { path, headers, json: { model, input: 'word '.repeat(600) } });
      await ask('no input', { path, headers, json: { model } });
      await ask('no JSON', {
        path,
        headers: { ...headers, 'content-type': 'application/json' },
        body: '{"model":',
      });
    },
  },
  {
    name: 'embeddings: too long, but cut on request',
    server: 'guarded',
    run: async ({ ask, model }) => {
      const json = { model, input: 'word '.repeat(600), truncate_prompt_tokens: 100 };
      await ask('POST', { path: '/v1/embeddings', headers, json });
    },
  },
  {
    name: 'pooling',
    server: 'guarded',
    run: async ({ ask, model }) => {
      await ask('POST', { path: '/pooling', json: { model, input: 'one two' } });
    },
  },
  {
    name: 'scores',
    server: 'guarded',
    run: async ({ ask, model }) => {
      const json = { model, text_1: 'one', text_2: ['one', 'two'] };
      await ask('/score', { path: '/score', json });
      await ask('/v1/score', { path: '/v1/score', json, headers });
    },
  },
  {
    name: 'reranking',
    server: 'guarded',
    run: async ({ ask, model }) => {
      const json = { model, query: 'one', documents: ['one', 'two'] };
      await ask('/rerank', { path: '/rerank', json });
      await ask('/v1/rerank', { path: '/v1/rerank', json, headers });
      await ask('/v2/rerank', { path: '/v2/rerank', json, headers });
    },
  },
  {
    name: 'an embedding engine generates nothing',
    server: 'guarded',
    run: async ({ ask, model }) => {
      for (const path of [
        '/v1/chat/completions',
        '/v1/completions',
        '/v1/responses',
        '/v1/messages',
        '/classify',
      ]) {
        await ask(path, { path, headers, json: { model } });
      }
    },
  },
  {
    name: 'development routes are missing without their variable',
    server: 'guarded',
    run: async ({ ask }) => {
      for (const path of ['/sleep', '/wake_up', '/pause', '/collective_rpc', '/reset_prefix_cache']) {
        await ask(path, { path, method: 'POST' });
      }
      for (const path of ['/is_sleeping', '/is_paused', '/server_info']) await ask(path, { path });
    },
  },
  {
    name: 'SIGKILL of the server leaves its engine core and its socket file behind',
    server: 'guarded',
    run: async ({ server, note }) => {
      const address = server.address;
      process.kill(server.pid, 'SIGKILL');
      const outcome = await server.exited(10_000);
      note('exit', `code ${outcome.code}, signal ${outcome.signal}`);
      // Whoever were to die with its parent would have done so by now.
      await delay(1500);
      const titles = server.group().map((member) => member.title.split(' ')[0] ?? '');
      note(
        'engine core lives',
        String(titles.some((title) => title.startsWith('VLLM::EngineCor'))),
        titles.join('\n'),
      );
      note('socket file', 'socketPath' in address ? String(existsSync(address.socketPath)) : 'none');
    },
  },
];
