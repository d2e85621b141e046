import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventFrames, startVllmSim } from '../../../../test/fakes/vllm-sim.ts';
import { until } from '../../../../test/fakes/waiting.ts';

const HELLO = [{ role: 'user', content: 'hello there' }];

test('answers are deterministic, bounded, stopped and counted', async (t) => {
  const sim = startVllmSim(t, { args: ['--sim-tokens-per-second', '0'] });
  await sim.ready();

  await t.test('the same prompt gets the same answer, another prompt another', async () => {
    const first = await sim.chat('what is one');
    assert.equal(await sim.chat('what is one'), first);
    assert.notEqual(await sim.chat('what is two'), first);
    assert.match(first, /^[0-9a-f]{8} /);
  });

  await t.test('max_tokens ends with length, the natural end with stop', async () => {
    const finish = async (more: object): Promise<unknown> => {
      const answer = await sim.request({ path: '/v1/chat/completions', body: { messages: HELLO, ...more } });
      const [choice] = answer.json().choices as { finish_reason: string }[];
      const usage = answer.json().usage as { completion_tokens: number };
      return [choice?.finish_reason, usage.completion_tokens];
    };
    assert.deepEqual(await finish({ max_tokens: 3 }), ['length', 3]);
    assert.deepEqual(await finish({ max_tokens: 100, ignore_eos: true }), ['length', 100]);
    const [reason, tokens] = (await finish({})) as [string, number];
    assert.equal(reason, 'stop');
    assert.ok(tokens >= 12 && tokens < 28);
  });

  await t.test('a stop string cuts the answer before itself', async () => {
    const whole = await sim.chat('hello there');
    const [, stop = ''] = whole.split(' ').slice(1);
    const answer = await sim.request({
      path: '/v1/chat/completions',
      body: { messages: HELLO, stop: ` ${stop}` },
    });
    const [choice] = answer.json().choices as {
      message: { content: string };
      finish_reason: string;
      stop_reason: string;
    }[];
    assert.equal(choice?.message.content, whole.slice(0, whole.indexOf(` ${stop}`)));
    assert.deepEqual([choice?.finish_reason, choice?.stop_reason], ['stop', ` ${stop}`]);
  });

  await t.test('n samples differ and are numbered', async () => {
    const answer = await sim.request({ path: '/v1/chat/completions', body: { messages: HELLO, n: 3 } });
    const choices = answer.json().choices as { index: number; message: { content: string } }[];
    assert.deepEqual(
      choices.map((choice) => choice.index),
      [0, 1, 2],
    );
    assert.equal(new Set(choices.map((choice) => choice.message.content)).size, 3);
  });

  await t.test('a chat stream: role, tokens, finish, usage on request, [DONE]', async () => {
    const whole = await sim.chat('hello there', { max_tokens: 5 });
    const answer = await sim.request({
      path: '/v1/chat/completions',
      body: { messages: HELLO, max_tokens: 5, stream: true, stream_options: { include_usage: true } },
    });
    assert.equal(answer.headers['content-type'], 'text/event-stream; charset=utf-8');
    assert.equal(answer.headers['transfer-encoding'], 'chunked');
    const frames = eventFrames(answer.text).map((frame) => frame.data);
    assert.equal(frames.pop(), '[DONE]');
    const chunks = frames.map((data) => JSON.parse(data) as StreamChunk);
    assert.deepEqual(chunks.shift()?.choices[0]?.delta, { role: 'assistant', content: '' });
    const usage = chunks.pop();
    assert.deepEqual([usage?.choices, usage?.usage?.completion_tokens], [[], 5]);
    assert.equal(chunks.at(-1)?.choices[0]?.finish_reason, 'length');
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''), whole);
  });

  await t.test('no usage without being asked for it', async () => {
    const answer = await sim.request({ path: '/v1/completions', body: { prompt: 'x', stream: true } });
    assert.doesNotMatch(answer.text, /"usage"/);
    assert.match(answer.text, /data: \[DONE\]\n\n$/);
  });

  await t.test('a responses stream ends with response.completed and no [DONE]', async () => {
    const answer = await sim.request({
      path: '/v1/responses',
      body: { input: 'hi', stream: true, max_output_tokens: 2 },
    });
    const frames = eventFrames(answer.text);
    assert.deepEqual(
      frames.map((frame) => frame.event),
      [
        'response.created',
        'response.in_progress',
        'response.output_item.added',
        'response.content_part.added',
        'response.output_text.delta',
        'response.output_text.delta',
        'response.output_text.done',
        'response.content_part.done',
        'response.output_item.done',
        'response.completed',
      ],
    );
    frames.forEach((frame, at) => {
      assert.equal((JSON.parse(frame.data) as { sequence_number: number }).sequence_number, at);
    });
  });

  await t.test('a message and its stream speak Anthropic’s dialect', async () => {
    const body = { model: 'acme/small', max_tokens: 4, messages: HELLO };
    const whole = (await sim.request({ path: '/v1/messages', body })).json();
    assert.deepEqual([whole.type, whole.role, whole.stop_reason], ['message', 'assistant', 'max_tokens']);
    const stream = await sim.request({ path: '/v1/messages', body: { ...body, stream: true } });
    const events = eventFrames(stream.text).map((frame) => frame.event);
    assert.deepEqual(events.slice(0, 3), ['message_start', 'content_block_start', 'content_block_delta']);
    assert.deepEqual(events.slice(-3), ['content_block_stop', 'message_delta', 'message_stop']);
    const counted = await sim.request({ path: '/v1/messages/count_tokens', body });
    assert.equal(counted.json().input_tokens, (whole.usage as { input_tokens: number }).input_tokens);
  });

  await t.test('errors of the message handler have Anthropic’s shape, those before it have not', async () => {
    const body = { model: 'other', max_tokens: 4, messages: HELLO };
    const unknown = await sim.request({ path: '/v1/messages', body });
    assert.equal(unknown.status, 404);
    assert.equal(unknown.json().type, 'error');
    const schema = await sim.request({ path: '/v1/messages', body: { model: 'acme/small' } });
    assert.equal(schema.status, 400);
    assert.equal(schema.json().type, undefined);
  });
});

interface StreamChunk {
  readonly choices: {
    readonly delta: { readonly content?: string; readonly role?: string };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: { readonly completion_tokens: number };
}

test('echo answers with the last user text', async (t) => {
  const sim = startVllmSim(t, { args: ['--sim-answer', 'echo'] });
  await sim.ready();
  assert.equal(await sim.chat('please repeat: number 42!'), 'please repeat: number 42!');
});

test('a client that leaves has its sequence aborted', async (t) => {
  const sim = startVllmSim(t, { args: ['--sim-tokens-per-second', '20'] });
  await sim.ready();
  const leaving = new AbortController();
  const request = sim.request({
    path: '/v1/chat/completions',
    body: { messages: HELLO, stream: true, max_tokens: 1000, ignore_eos: true },
    signal: leaving.signal,
    onChunk: () => leaving.abort(),
  });
  await assert.rejects(request);
  await until('the metrics say so', async () => {
    const { text } = await sim.request({ path: '/metrics' });
    return /finished_reason="abort"} 1\.0/.test(text) && /num_requests_running\{[^}]*} 0\.0/.test(text);
  });
});

test('sequences beyond max-num-seqs wait', async (t) => {
  const sim = startVllmSim(t, { args: ['--max-num-seqs', '1', '--sim-tokens-per-second', '50'] });
  await sim.ready();
  const answers = Promise.all([1, 2, 3].map((number) => sim.chat(`number ${number}`)));
  await until('the metrics say so', async () => {
    const { text } = await sim.request({ path: '/metrics' });
    return /num_requests_running\{[^}]*} 1\.0/.test(text) && /num_requests_waiting\{[^}]*} 2\.0/.test(text);
  });
  assert.equal(new Set(await answers).size, 3);
});

test('a silent stream gets comments at the interval that was asked for', async (t) => {
  const args = ['--sse-keep-alive-interval', '0.05', '--sim-prefill-tokens-per-second', '10'];
  const sim = startVllmSim(t, { args });
  await sim.ready();
  const answer = await sim.request({ path: '/v1/chat/completions', body: { messages: HELLO, stream: true } });
  assert.match(answer.text, /\n\n: keep-alive\n\n/);
  assert.match(answer.text, /data: \[DONE\]\n\n$/);
});
