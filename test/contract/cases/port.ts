/** The gateway's own calls to an engine: what it makes of the answers, not only what they look like. */

import type { SleepResult } from '../../../src/engines/engine.ts';
import { modelFixture } from '../../../src/engines/engine-fixtures.ts';
import { createEngineHttp } from '../../../src/engines/engine-http.ts';
import { remedyOfAnswer } from '../../../src/engines/vllm/answer-remedies.ts';
import { isVllmAsleep, sleepVllm, wakeVllm } from '../../../src/engines/vllm/sleep.ts';
import { warmUpVllm } from '../../../src/engines/vllm/warm-up.ts';
import type { CaseContext, ContractCase } from '../contract-case.ts';
import { question } from './answers.ts';

const timeoutMs = 60_000;
const options = { timeoutMs, signal: new AbortController().signal };

function httpOf({ server: { address } }: CaseContext) {
  return createEngineHttp(
    'socketPath' in address ? { kind: 'unix', ...address } : { kind: 'tcp', ...address },
  );
}

function shown(result: SleepResult): string {
  return result.kind === 'done' ? 'done' : `failed: ${result.detail}`;
}

const parameters = { type: 'object', properties: {} };
const tools = [{ type: 'function', function: { name: 'look', description: 'Looks.', parameters } }];
const anthropicTools = [{ name: 'look', description: 'Looks.', input_schema: parameters }];

export const portCases: readonly ContractCase[] = [
  {
    name: 'the gateway puts an engine to sleep and wakes it, at both levels',
    server: 'chat',
    run: async (context) => {
      const { note, model } = context;
      const http = httpOf(context);
      const asleep = async (): Promise<string> => String(await isVllmAsleep(http, timeoutMs));
      note('before', await asleep());
      for (const level of [1, 2] as const) {
        note(`sleep ${level}`, shown(await sleepVllm(http, { ...options, level })));
        note(`asleep ${level}`, await asleep());
        note(`wake ${level}`, shown(await wakeVllm(http, { ...options, level })));
        note(`awake ${level}`, await asleep());
        note(`warm ${level}`, shown(await warmUpVllm(http, modelFixture({ servedName: model }), options)));
      }
    },
  },
  {
    name: 'the gateway meets an engine without the development routes',
    server: 'guarded',
    run: async (context) => {
      const { note, model } = context;
      const http = httpOf(context);
      note('asleep', String(await isVllmAsleep(http, timeoutMs)));
      note('sleep', shown(await sleepVllm(http, { ...options, level: 1 })));
      note('wake', shown(await wakeVllm(http, { ...options, level: 1 })));
      note('wake of level 2', shown(await wakeVllm(http, { ...options, level: 2 })));
      note('warm', shown(await warmUpVllm(http, modelFixture({ servedName: model }), options)));
    },
  },
  {
    name: 'tools without a parser are refused, and the gateway knows the remedy',
    server: 'chat',
    run: async ({ ask, note, model }) => {
      const chat = { model, messages: question, tools, max_tokens: 4 };
      const messages = { model, messages: question, tools: anthropicTools, max_tokens: 4 };
      const look = { type: 'function', function: { name: 'look' } };
      for (const [label, path, json] of [
        ['unsaid', '/v1/chat/completions', chat],
        ['auto', '/v1/chat/completions', { ...chat, tool_choice: 'auto' }],
        ['required', '/v1/chat/completions', { ...chat, tool_choice: 'required' }],
        ['named', '/v1/chat/completions', { ...chat, tool_choice: look }],
        ['messages', '/v1/messages', messages],
        ['messages, any', '/v1/messages', { ...messages, tool_choice: { type: 'any' } }],
        ['messages, named', '/v1/messages', { ...messages, tool_choice: { type: 'tool', name: 'look' } }],
      ] as const) {
        const answer = await ask(label, { path, json });
        note(`remedy ${label}`, remedyOfAnswer(answer.status ?? 0, answer.body)?.code ?? 'none');
      }
      await ask('none', { path: '/v1/chat/completions', json: { ...chat, tool_choice: 'none' } });
    },
  },
];
