/** Complete answers of a generating engine. */
import type { ContractCase } from '../contract-case.ts';

export const question = [{ role: 'user', content: 'What is the capital of France?' }];

export const answerCases: readonly ContractCase[] = [
  {
    name: 'a chat answer cut by max_tokens',
    server: 'chat',
    run: async ({ ask, model }) => {
      const json = { model, messages: question, max_tokens: 4, temperature: 0 };
      await ask('POST', { path: '/v1/chat/completions', json });
    },
  },
  {
    name: 'a chat answer that ends by itself',
    server: 'chat',
    run: async ({ ask, model }) => {
      await ask('POST', {
        path: '/v1/chat/completions',
        json: { model, messages: question, max_tokens: 60, temperature: 0 },
      });
    },
  },
  {
    name: 'every served name is accepted and the first one answers',
    server: 'chat',
    run: async ({ ask }) => {
      const json = { model: 'contract-alias', messages: question, max_tokens: 2 };
      await ask('POST', { path: '/v1/chat/completions', json });
    },
  },
  {
    name: 'a body without a model is served',
    server: 'chat',
    run: async ({ ask }) => {
      await ask('chat', { path: '/v1/chat/completions', json: { messages: question, max_tokens: 2 } });
      await ask('null', { path: '/v1/completions', json: { model: null, prompt: 'one', max_tokens: 2 } });
      await ask('empty', { path: '/v1/completions', json: { model: '', prompt: 'one', max_tokens: 2 } });
    },
  },
  {
    name: 'n choices',
    server: 'chat',
    run: async ({ ask, model }) => {
      const json = { model, messages: question, max_tokens: 2, n: 2 };
      await ask('POST', { path: '/v1/chat/completions', json });
    },
  },
  {
    name: 'a stop text ends the answer and is named',
    server: 'chat',
    run: async ({ ask, model }) => {
      const json = { model, messages: question, max_tokens: 20, temperature: 0, stop: [' '] };
      await ask('POST', { path: '/v1/chat/completions', json });
    },
  },
  {
    name: 'log probabilities',
    server: 'chat',
    differences: [
      { line: /\$\.choices\[\]\.logprobs/, reason: 'vllm-sim has no probabilities and answers null' },
    ],
    run: async ({ ask, model }) => {
      const json = { model, messages: question, max_tokens: 2, logprobs: true, top_logprobs: 1 };
      await ask('POST', { path: '/v1/chat/completions', json });
    },
  },
  {
    name: 'tools without a parser are refused',
    server: 'chat',
    run: async ({ ask, model }) => {
      const tools = [
        { type: 'function', function: { name: 'look', parameters: { type: 'object', properties: {} } } },
      ];
      await ask('POST', {
        path: '/v1/chat/completions',
        json: { model, messages: question, max_tokens: 2, tools },
      });
    },
  },
  {
    name: 'a completion of one prompt',
    server: 'chat',
    run: async ({ ask, model }) => {
      await ask('text', {
        path: '/v1/completions',
        json: { model, prompt: 'The capital of', max_tokens: 3 },
      });
      await ask('tokens', { path: '/v1/completions', json: { model, prompt: [1, 2, 3], max_tokens: 3 } });
    },
  },
  {
    name: 'a completion of two prompts',
    server: 'chat',
    run: async ({ ask, model }) => {
      const json = { model, prompt: ['The capital of', 'Once upon'], max_tokens: 2 };
      await ask('POST', { path: '/v1/completions', json });
    },
  },
  {
    name: 'a response',
    server: 'chat',
    run: async ({ ask, model }) => {
      const json = { model, input: 'What is the capital of France?', max_output_tokens: 60, temperature: 0 };
      await ask('POST', { path: '/v1/responses', json });
    },
  },
  {
    name: 'a response cut by max_output_tokens',
    server: 'chat',
    run: async ({ ask, model }) => {
      await ask('POST', {
        path: '/v1/responses',
        json: { model, input: 'Tell me a story.', max_output_tokens: 4 },
      });
    },
  },
  {
    name: 'an Anthropic message',
    server: 'chat',
    run: async ({ ask, model }) => {
      await ask('whole', {
        path: '/v1/messages',
        json: { model, messages: question, max_tokens: 60, temperature: 0 },
      });
      await ask('cut', {
        path: '/v1/messages',
        json: { model, messages: question, max_tokens: 3, temperature: 0 },
      });
    },
  },
  {
    name: 'Anthropic token counts',
    server: 'chat',
    run: async ({ ask, model }) => {
      await ask('POST', { path: '/v1/messages/count_tokens', json: { model, messages: question } });
    },
  },
  {
    name: 'X-Request-Id becomes the identifier and is not echoed without the flag',
    server: 'chat',
    run: async ({ ask, model, note }) => {
      const answer = await ask('POST', {
        path: '/v1/chat/completions',
        headers: { 'x-request-id': 'my-own.id_1' },
        json: { model, messages: question, max_tokens: 2 },
      });
      note('identifier', String(JSON.parse(answer.body).id));
    },
  },
];
