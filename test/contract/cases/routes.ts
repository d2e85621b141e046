/** Which routes there are, and how an engine says that there is none. */
import type { ContractCase } from '../contract-case.ts';

/** Every metric that the gateway or its documentation names. */
const metricNames = [
  'vllm:num_requests_running',
  'vllm:num_requests_waiting',
  'vllm:num_requests_waiting_by_reason',
  'vllm:kv_cache_usage_perc',
  'vllm:engine_sleep_state',
  'vllm:cache_config_info',
  'vllm:prefix_cache_queries_total',
  'vllm:prefix_cache_hits_total',
  'vllm:num_preemptions_total',
  'vllm:prompt_tokens_total',
  'vllm:generation_tokens_total',
  'vllm:request_success_total',
  'vllm:time_to_first_token_seconds',
  'vllm:inter_token_latency_seconds',
  'vllm:e2e_request_latency_seconds',
  'vllm:request_queue_time_seconds',
  'vllm:request_prefill_time_seconds',
  'vllm:request_decode_time_seconds',
  'http_requests_total',
];

/** Names of a metric's labels, of the first sample that has it. */
function labelNames(text: string, metric: string): string {
  const sample = new RegExp(`^${metric}(?:_bucket)?\\{([^}]*)\\}`, 'm').exec(text)?.[1] ?? '';
  const names = [...sample.matchAll(/(\w+)="/g)].map((match) => match[1] ?? '');
  // This one carries the whole configuration as labels: only the two that mean something to others are compared.
  const wanted = metric === 'vllm:cache_config_info' ? ['block_size', 'num_gpu_blocks'] : names;
  return names
    .filter((name) => wanted.includes(name))
    .sort()
    .join(',');
}

export const routeCases: readonly ContractCase[] = [
  {
    name: 'health is an empty 200',
    server: 'chat',
    run: async ({ ask }) => {
      await ask('GET', { path: '/health' });
    },
  },
  {
    name: 'ping answers GET and POST as health does',
    server: 'chat',
    run: async ({ ask }) => {
      await ask('GET', { path: '/ping' });
      await ask('POST', { path: '/ping', method: 'POST' });
    },
  },
  {
    name: 'version names the release',
    server: 'chat',
    run: async ({ ask }) => {
      await ask('GET', { path: '/version' });
    },
  },
  {
    name: 'one model card per served name',
    server: 'chat',
    run: async ({ ask, note }) => {
      const answer = await ask('GET', { path: '/v1/models' });
      const list: { data: { id: string }[] } = JSON.parse(answer.body);
      note(
        'ids',
        list.data.map((card) => card.id),
      );
    },
  },
  {
    name: 'a single model has no route',
    server: 'chat',
    run: async ({ ask, model }) => {
      await ask('GET', { path: `/v1/models/${model}` });
    },
  },
  {
    name: 'load counts nothing without its flag',
    server: 'chat',
    run: async ({ ask }) => {
      await ask('GET', { path: '/load' });
    },
  },
  {
    name: 'metrics carry the names and labels that are read',
    server: 'chat',
    run: async ({ ask, askQuietly, note, model }) => {
      await askQuietly({ path: '/v1/completions', json: { model, prompt: 'one two', max_tokens: 2 } });
      const { body } = await ask('GET', { path: '/metrics' });
      const type = (name: string): string =>
        new RegExp(`^# TYPE ${name} (\\w+)`, 'm').exec(body)?.[1] ?? 'missing';
      const shown = metricNames.map((name) => `${name} ${type(name)} {${labelNames(body, name)}}`);
      const samples = body
        .split('\n')
        .filter((line) => /^vllm:(num_requests|engine_sleep|kv_cache_u)/.test(line));
      note('names', shown, samples.join('\n'));
      note('model label', /vllm:num_requests_running\{[^}]*model_name="([^"]*)"/.exec(body)?.[1] ?? 'none');
    },
  },
  {
    name: 'an unknown path is a 404 in another shape than errors have',
    server: 'chat',
    run: async ({ ask }) => {
      await ask('GET', { path: '/no/such/path' });
      await ask('POST', { path: '/v1/nothing', json: { model: 'x' } });
    },
  },
  {
    name: 'a wrong method is a 405 that names the right one',
    server: 'chat',
    run: async ({ ask }) => {
      await ask('GET chat', { path: '/v1/chat/completions' });
      await ask('POST health', { path: '/health', method: 'POST' });
      await ask('DELETE models', { path: '/v1/models', method: 'DELETE' });
    },
  },
  {
    name: 'HEAD and OPTIONS are not served',
    server: 'chat',
    run: async ({ ask }) => {
      await ask('HEAD health', { path: '/health', method: 'HEAD' });
      await ask('OPTIONS chat', { path: '/v1/chat/completions', method: 'OPTIONS' });
    },
  },
  {
    name: 'a slash at the end is another path',
    server: 'chat',
    run: async ({ ask, note }) => {
      const answer = await ask('GET', { path: '/v1/models/' });
      const location = answer.headers.find(([name]) => name === 'location')?.[1] ?? '';
      note('location', location.replace(/127\.0\.0\.1:\d+/, '<address>'));
    },
  },
  {
    name: 'routes of other tasks are missing',
    server: 'chat',
    run: async ({ ask, model }) => {
      for (const path of [
        '/v1/embeddings',
        '/pooling',
        '/score',
        '/rerank',
        '/classify',
        '/v1/audio/transcriptions',
      ]) {
        await ask(path, { path, json: { model, input: 'x' } });
      }
    },
  },
  {
    name: 'scale-out routes exist and refuse',
    server: 'chat',
    run: async ({ ask, model }) => {
      const messages = [{ role: 'user', content: 'hi' }];
      await ask('render', { path: '/v1/chat/completions/render', json: { model, messages } });
      await ask('generate', { path: '/inference/v1/generate', json: { model, token_ids: [1] } });
    },
  },
  {
    name: 'an unknown response is not found',
    server: 'chat',
    run: async ({ ask }) => {
      await ask('GET', { path: '/v1/responses/resp_unknown' });
      await ask('cancel', { path: '/v1/responses/resp_unknown/cancel', method: 'POST' });
    },
  },
  {
    name: 'tokenize and detokenize',
    server: 'chat',
    run: async ({ ask, model }) => {
      const answer = await ask('prompt', { path: '/tokenize', json: { model, prompt: 'one two three' } });
      const { tokens }: { tokens: number[] } = JSON.parse(answer.body);
      const messages = [{ role: 'user', content: 'one two three' }];
      await ask('messages', { path: '/tokenize', json: { model, messages } });
      await ask('with texts', { path: '/tokenize', json: { model, prompt: 'one', return_token_strs: true } });
      await ask('back', { path: '/detokenize', json: { model, tokens } });
      await ask('info', { path: '/tokenizer_info' });
    },
  },
];
