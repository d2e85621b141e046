/** Streamed answers: the order of frames and how a stream ends. */
import { setTimeout as delay } from 'node:timers/promises';
import type { AllowedDifference, CaseContext, ContractCase } from '../contract-case.ts';
import { question } from './answers.ts';

const long = { max_tokens: 200, ignore_eos: true, temperature: 0, stream: true };

/** Requests that the engine says it runs. */
async function runningCount({ askQuietly }: CaseContext): Promise<number> {
  const { body } = await askQuietly({ path: '/metrics' });
  return Number(/^vllm:num_requests_running\{[^}]*\} ([\d.e+]+)$/m.exec(body)?.[1] ?? Number.NaN);
}

export async function waitForRunning(context: CaseContext, wanted: number): Promise<void> {
  const deadline = performance.now() + 20_000;
  while ((await runningCount(context)) !== wanted) {
    if (performance.now() > deadline) throw new Error(`the engine never ran ${wanted} requests`);
    await delay(50);
  }
}

/** An aborted sequence may have made one more token, which then stands in the frame that tells of the abort. */
export const lastTextOfAbort: AllowedDifference = {
  line: /^stream: {3}\$\.choices\[\]\.text: (?:empty )?string$/,
  reason: 'whether the last frame carries a token is a race inside vLLM',
  isRace: true,
};

export const streamCases: readonly ContractCase[] = [
  {
    name: 'a chat stream',
    server: 'chat',
    run: async ({ ask, model }) => {
      const json = { model, messages: question, max_tokens: 5, temperature: 0, stream: true };
      await ask('POST', { path: '/v1/chat/completions', json });
    },
  },
  {
    name: 'a chat stream that ends by itself',
    server: 'chat',
    run: async ({ ask, model }) => {
      const json = { model, messages: question, max_tokens: 60, temperature: 0, stream: true };
      await ask('POST', { path: '/v1/chat/completions', json });
    },
  },
  {
    name: 'a chat stream with usage at its end',
    server: 'chat',
    run: async ({ ask, model }) => {
      const stream_options = { include_usage: true };
      const json = { model, messages: question, max_tokens: 3, temperature: 0, stream: true, stream_options };
      await ask('POST', { path: '/v1/chat/completions', json });
    },
  },
  {
    name: 'a chat stream with usage in every frame',
    server: 'chat',
    run: async ({ ask, model }) => {
      const stream_options = { include_usage: true, continuous_usage_stats: true };
      const json = { model, messages: question, max_tokens: 3, temperature: 0, stream: true, stream_options };
      await ask('POST', { path: '/v1/chat/completions', json });
    },
  },
  {
    name: 'a chat stream that a stop text ends',
    server: 'chat',
    run: async ({ ask, model }) => {
      const json = { model, messages: question, max_tokens: 20, temperature: 0, stop: [' '], stream: true };
      await ask('POST', { path: '/v1/chat/completions', json });
    },
  },
  {
    name: 'a completion stream',
    server: 'chat',
    run: async ({ ask, model }) => {
      const json = { model, prompt: 'The capital of', max_tokens: 4, temperature: 0, stream: true };
      await ask('plain', { path: '/v1/completions', json });
      const stream_options = { include_usage: true };
      await ask('with usage', { path: '/v1/completions', json: { ...json, stream_options } });
    },
  },
  {
    name: 'a response stream ends without [DONE]',
    server: 'chat',
    run: async ({ ask, model, note }) => {
      const json = {
        model,
        input: 'What is the capital of France?',
        max_output_tokens: 60,
        temperature: 0,
        stream: true,
      };
      const answer = await ask('POST', { path: '/v1/responses', json });
      note('has [DONE]', String(answer.body.includes('[DONE]')));
    },
  },
  {
    name: 'an Anthropic stream ends with message_stop',
    server: 'chat',
    run: async ({ ask, model, note }) => {
      const json = { model, messages: question, max_tokens: 4, temperature: 0, stream: true };
      const answer = await ask('POST', { path: '/v1/messages', json });
      note('has [DONE]', String(answer.body.includes('[DONE]')));
    },
  },
  {
    name: 'a client that leaves a stream ends its request',
    server: 'chat',
    run: async (context) => {
      const json = { model: context.model, prompt: 'Once upon a time', ...long };
      const answer = await context.askQuietly({ path: '/v1/completions', json, leaveAt: 'data: ' });
      context.note('end', answer.end);
      await waitForRunning(context, 0);
      context.note('running afterwards', '0');
    },
  },
  {
    name: 'a client that leaves before a whole answer ends its request',
    server: 'chat',
    run: async (context) => {
      const json = { model: context.model, prompt: 'Once upon a time', ...long, stream: false };
      const asked = context.askQuietly({ path: '/v1/completions', json, patienceMs: 300 });
      context.note('end', (await asked).end);
      await waitForRunning(context, 0);
      context.note('running afterwards', '0');
    },
  },
  {
    name: 'aborted by the operator, a stream ends with finish_reason abort and [DONE]',
    server: 'chat',
    differences: [lastTextOfAbort],
    run: async ({ ask, askQuietly, model }) => {
      const json = { model, prompt: 'Once upon a time', ...long };
      let aborted: Promise<unknown> = Promise.resolve();
      await ask('stream', {
        path: '/v1/completions',
        json,
        notify: {
          at: 'data: ',
          call: () => {
            aborted = askQuietly({ path: '/abort_requests', json: { request_ids: [] } });
          },
        },
      });
      await aborted;
    },
  },
];
