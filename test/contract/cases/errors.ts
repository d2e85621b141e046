/** What an engine refuses, with its exact words: clients and the gateway read them. */
import type { CaseContext, ContractCase } from '../contract-case.ts';
import { question } from './answers.ts';

const chat = '/v1/chat/completions';
const manyWords = 'word '.repeat(600);

function refused(name: string, asked: (context: CaseContext) => Record<string, unknown>): ContractCase {
  return {
    name,
    server: 'chat',
    run: async (context) => {
      await context.ask('POST', {
        path: chat,
        json: { model: context.model, messages: question, ...asked(context) },
      });
    },
  };
}

export const errorCases: readonly ContractCase[] = [
  {
    name: 'a body that is not JSON',
    server: 'chat',
    run: async ({ ask }) => {
      const headers = { 'content-type': 'application/json' };
      await ask('cut', { path: chat, body: '{"model":', headers });
      await ask('text', { path: chat, body: 'hello', headers });
      await ask('empty', { path: chat, body: '', headers, method: 'POST' });
      await ask('completions', { path: '/v1/completions', body: '{"model":', headers });
      await ask('messages', { path: '/v1/messages', body: '{"model":', headers });
    },
  },
  {
    name: 'a body that is no object',
    server: 'chat',
    run: async ({ ask }) => {
      const headers = { 'content-type': 'application/json' };
      await ask('list', { path: chat, body: '[]', headers });
      await ask('text', { path: chat, body: '"x"', headers });
      await ask('null', { path: chat, body: 'null', headers });
    },
  },
  {
    name: 'a wrong content type',
    server: 'chat',
    run: async ({ ask, model }) => {
      const body = JSON.stringify({ model, messages: question, max_tokens: 1 });
      await ask('text', { path: chat, body, headers: { 'content-type': 'text/plain' } });
      await ask('none', { path: chat, body });
      await ask('with charset', {
        path: chat,
        body,
        headers: { 'content-type': 'application/json; charset=utf-8' },
      });
    },
  },
  {
    name: 'of two models in a body the last one counts',
    server: 'chat',
    run: async ({ ask, model }) => {
      const headers = { 'content-type': 'application/json' };
      const body = `{"model":"other","prompt":"one","max_tokens":1,"model":"${model}"}`;
      await ask('POST', { path: '/v1/completions', body, headers });
    },
  },
  {
    name: 'JSON as Python reads it: NaN is a number',
    server: 'chat',
    run: async ({ ask, model }) => {
      const headers = { 'content-type': 'application/json' };
      const body = `{"model":"${model}","prompt":"one","max_tokens":1,"no_such_key":[NaN,-Infinity]}`;
      await ask('POST', { path: '/v1/completions', body, headers });
    },
  },
  {
    name: 'an unknown model',
    server: 'chat',
    run: async ({ ask }) => {
      const model = 'nobody';
      await ask('chat', { path: chat, json: { model, messages: question } });
      await ask('stream', { path: chat, json: { model, messages: question, stream: true } });
      await ask('completions', { path: '/v1/completions', json: { model, prompt: 'x' } });
      await ask('responses', { path: '/v1/responses', json: { model, input: 'x' } });
      await ask('messages', { path: '/v1/messages', json: { model, messages: question, max_tokens: 2 } });
      await ask('tokenize', { path: '/tokenize', json: { model, prompt: 'x' } });
    },
  },
  {
    name: 'a model that is no text',
    server: 'chat',
    run: async ({ ask }) => {
      await ask('POST', { path: chat, json: { model: 7, messages: question } });
    },
  },
  {
    name: 'a prompt longer than the context',
    server: 'chat',
    run: async ({ ask, model }) => {
      const messages = [{ role: 'user', content: manyWords }];
      await ask('chat', { path: chat, json: { model, messages } });
      await ask('stream', { path: chat, json: { model, messages, stream: true } });
      await ask('completions', { path: '/v1/completions', json: { model, prompt: manyWords } });
      await ask('messages', { path: '/v1/messages', json: { model, messages, max_tokens: 2 } });
      await ask('responses', { path: '/v1/responses', json: { model, input: manyWords } });
    },
  },
  {
    name: 'more output than the context holds',
    server: 'chat',
    run: async ({ ask, model }) => {
      await ask('alone too much', { path: chat, json: { model, messages: question, max_tokens: 99_999 } });
      // Not refused: the answer is cut where the context ends.
      const messages = [{ role: 'user', content: 'word '.repeat(190) }];
      const json = { model, messages, max_tokens: 150, ignore_eos: true };
      await ask('with the prompt', { path: chat, json });
      await ask('new name', {
        path: chat,
        json: { model, messages: question, max_completion_tokens: 99_999 },
      });
    },
  },
  refused('max_tokens of nothing', () => ({ max_tokens: 0 })),
  refused('a temperature below zero', () => ({ max_tokens: 1, temperature: -1 })),
  refused('top_p above one', () => ({ max_tokens: 1, top_p: 2 })),
  refused('no choice at all', () => ({ max_tokens: 1, n: 0 })),
  refused('stream options without a stream', () => ({
    max_tokens: 1,
    stream_options: { include_usage: true },
  })),
  refused('messages of the wrong type', () => ({ messages: 'hi' })),
  refused('no messages', () => ({ messages: undefined })),
  refused('an empty list of messages', () => ({ messages: [], max_tokens: 1 })),
  refused('an unknown key is ignored', () => ({ max_tokens: 1, no_such_key: true })),
  {
    name: 'an Anthropic message without max_tokens',
    server: 'chat',
    run: async ({ ask, model }) => {
      await ask('POST', { path: '/v1/messages', json: { model, messages: question } });
    },
  },
];
