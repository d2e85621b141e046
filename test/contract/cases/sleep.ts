/** Sleeping, pausing and the traps in both. Every case leaves the engine awake. */
import { setTimeout as delay } from 'node:timers/promises';
import type { CaseContext, ContractCase } from '../contract-case.ts';
import { lastTextOfAbort, waitForRunning } from './streams.ts';

function post(path: string): { path: string; method: string } {
  return { path, method: 'POST' };
}

function short(model: string): { path: string; json: unknown } {
  return { path: '/v1/completions', json: { model, prompt: 'one two', max_tokens: 2, temperature: 0 } };
}

async function sleepStates({ askQuietly }: CaseContext): Promise<string[]> {
  const { body } = await askQuietly({ path: '/metrics' });
  return [...body.matchAll(/^vllm:engine_sleep_state\{[^}]*sleep_state="(\w+)"[^}]*\} ([\d.]+)/gm)]
    .map((match) => `${match[1]} ${Number(match[2])}`)
    .sort();
}

export const sleepCases: readonly ContractCase[] = [
  {
    name: 'sleep and wake, as the routes tell it',
    server: 'chat',
    run: async (context) => {
      const { ask, note } = context;
      await ask('before', { path: '/is_sleeping' });
      await ask('sleep', post('/sleep?level=1'));
      await ask('asleep', { path: '/is_sleeping' });
      await ask('is not paused', { path: '/is_paused' });
      note('metric asleep', await sleepStates(context));
      await ask('wake', post('/wake_up'));
      await ask('awake', { path: '/is_sleeping' });
      note('metric awake', await sleepStates(context));
    },
  },
  {
    name: 'asleep, health and models answer as if nothing were',
    server: 'chat',
    run: async ({ ask, askQuietly }) => {
      await askQuietly(post('/sleep?level=1'));
      await ask('health', { path: '/health' });
      await ask('models', { path: '/v1/models' });
      await ask('unknown model', { path: '/v1/completions', json: { model: 'nobody', prompt: 'x' } });
      await askQuietly(post('/wake_up'));
    },
  },
  {
    name: 'asleep, what only needs the tokenizer is answered',
    server: 'chat',
    run: async ({ ask, askQuietly, model }) => {
      const messages = [{ role: 'user', content: 'one two three' }];
      await askQuietly(post('/sleep?level=1'));
      const answer = await ask('tokenize', { path: '/tokenize', json: { model, prompt: 'one two three' } });
      const { tokens }: { tokens: number[] } = JSON.parse(answer.body);
      await ask('tokenize messages', { path: '/tokenize', json: { model, messages } });
      await ask('detokenize', { path: '/detokenize', json: { model, tokens } });
      await ask('count_tokens', { path: '/v1/messages/count_tokens', json: { model, messages } });
      await ask('still asleep', { path: '/is_sleeping' });
      await askQuietly(post('/wake_up'));
    },
  },
  {
    name: 'asleep, a request hangs; leaving removes it',
    server: 'chat',
    run: async (context) => {
      const { askQuietly, note, model, hangPatienceMs } = context;
      await askQuietly(post('/sleep?level=1'));
      const answer = await askQuietly({ ...short(model), patienceMs: hangPatienceMs });
      note('answer', answer.end);
      await askQuietly(post('/wake_up'));
      await waitForRunning(context, 0);
      const { body } = await askQuietly({ path: '/metrics' });
      note('waiting', /^vllm:num_requests_waiting\{[^}]*\} ([\d.]+)/m.exec(body)?.[1] ?? 'none');
    },
  },
  {
    name: 'a request that waited in the sleep is served by the waking',
    server: 'chat',
    run: async ({ ask, askQuietly, model }) => {
      await askQuietly(post('/sleep?level=1'));
      const waiting = ask('waiting', short(model));
      await delay(300);
      await askQuietly(post('/wake_up'));
      await waiting;
    },
  },
  {
    name: 'a second sleep answers its own level and changes nothing',
    server: 'chat',
    run: async (context) => {
      const { ask, note } = context;
      await ask('first', post('/sleep?level=1'));
      await ask('second', post('/sleep?level=2'));
      note('metric', await sleepStates(context));
      await ask('wake', post('/wake_up'));
    },
  },
  {
    name: 'a waking in parts',
    server: 'chat',
    run: async ({ ask, askQuietly }) => {
      await askQuietly(post('/sleep?level=1'));
      await ask('weights', post('/wake_up?tags=weights'));
      await ask('still asleep', { path: '/is_sleeping' });
      await ask('kv_cache', post('/wake_up?tags=kv_cache'));
      await ask('awake', { path: '/is_sleeping' });
    },
  },
  {
    name: 'level 2 wakes in three steps',
    server: 'chat',
    run: async (context) => {
      const { ask, note, model } = context;
      await ask('sleep', post('/sleep?level=2'));
      note('metric', await sleepStates(context));
      await ask('weights', post('/wake_up?tags=weights'));
      await ask('reload', { path: '/collective_rpc', json: { method: 'reload_weights' } });
      await ask('kv_cache', post('/wake_up?tags=kv_cache'));
      await ask('serves', short(model));
    },
  },
  {
    name: 'an unknown tag is no error',
    server: 'chat',
    run: async ({ ask, askQuietly }) => {
      await ask('awake', post('/wake_up?tags=nonsense'));
      await askQuietly(post('/sleep?level=1'));
      await ask('asleep', post('/wake_up?tags=nonsense'));
      await ask('stays asleep', { path: '/is_sleeping' });
      await askQuietly(post('/wake_up'));
    },
  },
  {
    name: 'waking an engine that is awake',
    server: 'chat',
    run: async ({ ask }) => {
      await ask('POST', post('/wake_up'));
    },
  },
  {
    name: 'sleep refuses what it does not know',
    server: 'chat',
    run: async ({ ask }) => {
      await ask('level 3', post('/sleep?level=3'));
      await ask('level -1', post('/sleep?level=-1'));
      await ask('level x', post('/sleep?level=x'));
      await ask('mode', post('/sleep?mode=later'));
      await ask('GET', { path: '/sleep' });
      await ask('still awake', { path: '/is_sleeping' });
    },
  },
  {
    name: 'level 0 only stops the scheduling',
    server: 'chat',
    run: async (context) => {
      const { ask, note } = context;
      await ask('sleep', post('/sleep?level=0'));
      await ask('is sleeping', { path: '/is_sleeping' });
      note('metric', await sleepStates(context));
      await ask('wake', post('/wake_up?tags=scheduling'));
      await ask('awake', { path: '/is_sleeping' });
      await context.askQuietly(post('/wake_up'));
    },
  },
  {
    name: 'sleep in a stream ends it with finish_reason abort',
    server: 'chat',
    differences: [lastTextOfAbort],
    run: async ({ ask, askQuietly, model }) => {
      let slept: Promise<unknown> = Promise.resolve();
      const json = { model, prompt: 'Once upon a time', max_tokens: 200, ignore_eos: true, stream: true };
      await ask('stream', {
        path: '/v1/completions',
        json,
        notify: {
          at: 'data: ',
          call: () => {
            slept = askQuietly(post('/sleep?level=1'));
          },
        },
      });
      await slept;
      await askQuietly(post('/wake_up'));
    },
  },
  {
    name: 'sleep with mode wait lets running requests finish',
    server: 'chat',
    run: async (context) => {
      const { ask, askQuietly, model } = context;
      const json = { model, prompt: 'Once upon a time', max_tokens: 30, ignore_eos: true, stream: true };
      let slept: Promise<unknown> = Promise.resolve();
      await ask('stream', {
        path: '/v1/completions',
        json,
        notify: {
          at: 'data: ',
          call: () => {
            slept = askQuietly(post('/sleep?level=1&mode=wait'));
          },
        },
      });
      await slept;
      await ask('is sleeping', { path: '/is_sleeping' });
      await askQuietly(post('/wake_up'));
    },
  },
  {
    name: 'pause and resume',
    server: 'chat',
    run: async ({ ask, askQuietly, note, model, hangPatienceMs }) => {
      await ask('pause', post('/pause'));
      await ask('is paused', { path: '/is_paused' });
      await ask('counts as asleep', { path: '/is_sleeping' });
      const answer = await askQuietly({ ...short(model), patienceMs: hangPatienceMs });
      note('a request', answer.end);
      await ask('resume', post('/resume'));
      await ask('is not paused', { path: '/is_paused' });
      await ask('serves', short(model));
      await ask('unknown mode', post('/pause?mode=later'));
    },
  },
  {
    name: 'collective_rpc refuses what it cannot call',
    server: 'chat',
    run: async ({ ask }) => {
      await ask('no method', { path: '/collective_rpc', json: {} });
      const headers = { 'content-type': 'application/json' };
      await ask('no JSON', { path: '/collective_rpc', body: '{"method":', headers });
      await ask('unknown method', { path: '/collective_rpc', json: { method: 'no_such_method' } });
    },
  },
  {
    name: 'the other development routes',
    server: 'chat',
    run: async ({ ask, askQuietly, note }) => {
      await ask('reset_prefix_cache', post('/reset_prefix_cache'));
      await ask('reset_mm_cache', post('/reset_mm_cache'));
      await ask('reset_encoder_cache', post('/reset_encoder_cache'));
      await ask('abort_requests', { path: '/abort_requests', json: { request_ids: ['nobody'] } });
      const { body } = await askQuietly({ path: '/server_info?config_format=text' });
      note('server_info', Object.keys(JSON.parse(body)).sort(), body.slice(0, 200));
    },
  },
];
