/** LangChain as a client: answers and streams, embeddings, tool calls, errors and leaving, as its users write them. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { HumanMessage, SystemMessage } from '@langchain/core/messages';
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { FakeEngine, type FakeRequest } from '../fakes/fake-engine.ts';
import {
  type RunningGateway,
  simulatedConfig,
  simulatedModel,
  startGateway,
  until,
} from '../fixtures/gateway.ts';

const WORDS = 'rain falls on the old stones of the town';
const EMBEDDING_SIZE = 8;
const WEATHER_TOOL = {
  type: 'function' as const,
  function: {
    name: 'weather',
    description: 'Weather of a town',
    parameters: { type: 'object', properties: { town: { type: 'string' } }, required: ['town'] },
  },
};
const CALL = { name: 'weather', arguments: '{"town":"Paris"}' };

/** vllm-sim calls no tools. */
let toolEngine: FakeEngine;
let gateway: RunningGateway;

before(async () => {
  toolEngine = new FakeEngine(callTool);
  const port = await toolEngine.listen();
  const model = (args: readonly (string | number)[]) => simulatedModel({ memoryMib: 3_000, args });
  gateway = await startGateway({
    config: simulatedConfig({
      chat: model(['--sim-answer', 'echo']),
      slow: model(['--sim-tokens-per-second', 10]),
      embed: model(['--sim-task', 'embed', '--sim-embedding-size', EMBEDDING_SIZE]),
      tools: { url: `http://127.0.0.1:${port}` },
    }),
  });
});

after(async () => {
  await gateway.stop();
  await toolEngine.die();
});

function chatModel(model: string, more: Record<string, unknown> = {}): ChatOpenAI {
  return new ChatOpenAI({
    model,
    apiKey: 'none needed',
    configuration: { baseURL: `${gateway.url}/v1` },
    maxRetries: 0,
    ...more,
  });
}

/** Without the package's own type, which tells of none for a message that anything may have written. */
function outputTokens(message: {
  readonly usage_metadata?: { readonly output_tokens: number } | undefined;
}): number {
  return message.usage_metadata?.output_tokens ?? 0;
}

/** A model that calls the tool whenever it is asked, whole or in pieces. */
function callTool(request: FakeRequest): void {
  if (!request.path.startsWith('/v1/chat/completions')) {
    request.json({ object: 'list', data: [{ id: 'tools', object: 'model', created: 1, owned_by: 'test' }] });
    return;
  }
  const common = { id: 'chatcmpl-1', created: 1, model: 'tools' };
  const call = { id: 'call-1', type: 'function' };
  if (!request.body.includes('"stream":true')) {
    const message = { role: 'assistant', content: null, tool_calls: [{ ...call, function: CALL }] };
    const choices = [{ index: 0, message, finish_reason: 'tool_calls' }];
    request.json({ ...common, object: 'chat.completion', choices });
    return;
  }
  const say = (delta: unknown, finish: string | null = null): void => {
    const choices = [{ index: 0, delta, finish_reason: finish }];
    request.chunk(`data: ${JSON.stringify({ ...common, object: 'chat.completion.chunk', choices })}\n\n`);
  };
  const { name, arguments: text } = CALL;
  request.startEvents();
  say({ role: 'assistant', tool_calls: [{ index: 0, ...call, function: { name, arguments: '' } }] });
  for (const piece of [text.slice(0, 5), text.slice(5)])
    say({ tool_calls: [{ index: 0, function: { arguments: piece } }] });
  say({}, 'tool_calls');
  request.chunk('data: [DONE]\n\n').endChunks();
}

test('invoke: text, usage and the reason of the end', async () => {
  const answer = await chatModel('chat').invoke([new SystemMessage('Be brief.'), new HumanMessage(WORDS)]);
  assert.equal(answer.text, WORDS);
  assert.equal(answer.response_metadata['finish_reason'], 'stop');
  assert.equal(answer.response_metadata['model_name'], 'chat');
  assert(outputTokens(answer) > 5);
});

test('batch: each question gets its own answer', async () => {
  const questions = Array.from({ length: 8 }, (_, index) => `question number ${index} of many`);
  const answers = await chatModel('chat').batch(questions);
  assert.deepEqual(
    answers.map(({ text }) => text),
    questions,
  );
});

test('stream: deltas that make the whole, then the usage', async () => {
  const pieces: string[] = [];
  let tokens = 0;
  for await (const chunk of await chatModel('chat').stream(WORDS)) {
    if (chunk.text !== '') pieces.push(chunk.text);
    tokens += outputTokens(chunk);
  }
  assert.equal(pieces.join(''), WORDS);
  assert(pieces.length > 5, `${pieces.length} pieces`);
  assert.equal(tokens, pieces.length);
});

test('a stream with progress is the same to it', async () => {
  const headers = { 'x-progress': 'comments' };
  const configuration = { baseURL: `${gateway.url}/v1`, defaultHeaders: headers };
  let text = '';
  for await (const chunk of await chatModel('chat', { configuration }).stream(WORDS)) text += chunk.text;
  assert.equal(text, WORDS);
});

test('the Responses API: whole and streamed', async () => {
  const model = chatModel('chat', { useResponsesApi: true });
  assert.equal((await model.invoke(WORDS)).text, WORDS);
  let text = '';
  for await (const chunk of await model.stream(WORDS)) text += chunk.text;
  assert.equal(text, WORDS);
});

test('tool calls: whole and put together from a stream', async () => {
  const model = chatModel('tools').bindTools([WEATHER_TOOL]);
  const wanted = [{ name: 'weather', args: { town: 'Paris' }, id: 'call-1', type: 'tool_call' }];
  const whole = await model.invoke('Rain in Paris?');
  assert.deepEqual(whole.tool_calls, wanted);
  assert.match(toolEngine.requests.at(-1)?.body ?? '', /"tools":\[\{"type":"function"/);
  let all: typeof whole | null = null;
  for await (const chunk of await model.stream('Rain in Paris?'))
    all = all === null ? chunk : all.concat(chunk);
  assert.deepEqual(all?.tool_calls, wanted);
});

test('embeddings: of one text and of many, each its own', async () => {
  const embeddings = new OpenAIEmbeddings({
    model: 'embed',
    apiKey: 'none needed',
    configuration: { baseURL: `${gateway.url}/v1` },
    maxRetries: 0,
  });
  const texts = ['one text', 'another', 'a third'];
  const many = await embeddings.embedDocuments(texts);
  assert.deepEqual(
    many.map((vector) => vector.length),
    texts.map(() => EMBEDDING_SIZE),
  );
  assert.deepEqual(await embeddings.embedQuery('another'), many[1]);
  assert.notDeepEqual(many[0], many[1]);
});

test('an unknown model fails with our code', async () => {
  await assert.rejects(chatModel('chatt').invoke(WORDS), (error: { status?: number; code?: string }) => {
    assert.equal(error.status, 404);
    assert.equal(error.code, 'model_not_found');
    return true;
  });
});

test('a stream that is given up ends at the engine', async () => {
  const controller = new AbortController();
  const stream = await chatModel('slow').stream(WORDS, { signal: controller.signal });
  await assert.rejects(async () => {
    for await (const _chunk of stream) controller.abort();
  });
  await until('nothing runs', async () => {
    const { models } = await gateway.status();
    return models['slow']?.running === 0 && models['slow'].waiting === 0;
  });
});
