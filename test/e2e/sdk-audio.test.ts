/** The audio routes with the public package `openai`: recordings in memory and in files, whole and streamed. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI, { APIError, BadRequestError, NotFoundError } from 'openai';
import { type RunningGateway, simulatedConfig, simulatedModel, startGateway } from '../fixtures/gateway.ts';
import { recording, transcriptOf } from '../fixtures/recordings.ts';

const MIB = 1024 * 1024;
const LIMIT_MIB = 8;
const SMALL = recording(100_000);
/** Waits in a file. */
const LARGE = recording(3 * MIB);

let gateway: RunningGateway;
let client: OpenAI;

before(async () => {
  const args = ['--sim-task', 'transcription', '--sim-answer', 'echo', '--sim-prefill-tokens-per-second', 0];
  gateway = await startGateway({
    config: simulatedConfig(
      { ear: simulatedModel({ args, keys: { served_name: 'acme/a-name-of-the-engines-own' } }) },
      {
        aliases: { 'whisper-1': 'ear' },
        server: { shutdown_delay: 0, shutdown_drain: 5, audio_body_limit_mib: LIMIT_MIB },
      },
    ),
  });
  client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'none needed', maxRetries: 0 });
});

after(() => gateway.stop());

function fileOf(bytes: Buffer): File {
  return new File([new Uint8Array(bytes)], 'speech.wav', { type: 'audio/wav' });
}

async function failureOf(promise: PromiseLike<unknown>): Promise<unknown> {
  return promise.then(
    () => assert.fail('it succeeded'),
    (error: unknown) => error,
  );
}

test('a large recording that starts its engine arrives byte by byte, by an alias and another served name', async () => {
  const { data, response } = await client.audio.transcriptions
    .create({ file: fileOf(LARGE), model: 'whisper-1' })
    .withResponse();
  assert.equal(data.text, transcriptOf(LARGE));
  assert.deepEqual(data.usage, { type: 'duration', seconds: 99 });
  const headers = ['x-model', 'x-load', 'content-type'].map((name) => response.headers.get(name));
  assert.deepEqual(headers, ['ear', 'cold', 'application/json']);
  assert.match(response.headers.get('x-queue-wait-ms') ?? '', /^[1-9]\d*$/);
});

for (const [size, bytes] of [
  ['small', SMALL],
  ['large', LARGE],
] as const) {
  for (const model of ['ear', 'whisper-1']) {
    test(`a ${size} recording by the name ${model}: whole, verbose, streamed and translated`, async () => {
      const text = transcriptOf(bytes);
      const asked = { file: fileOf(bytes), model };
      const { data, response } = await client.audio.transcriptions.create(asked).withResponse();
      assert.equal(data.text, text);
      assert.equal(response.headers.get('x-load'), 'hot');
      const verbose = await client.audio.transcriptions.create({
        ...asked,
        language: 'de',
        response_format: 'verbose_json',
      });
      assert.deepEqual([verbose.text, verbose.language, verbose.segments?.length], [text, 'de', 1]);
      assert.equal(await streamedText(asked), text);
      assert.equal((await client.audio.translations.create(asked)).text, text);
    });
  }
}

/** vLLM's chunks are none of the events that OpenAI has for this. */
async function streamedText(asked: { readonly file: File; readonly model: string }): Promise<string> {
  const { data: stream, response } = await client.audio.transcriptions
    .create({ ...asked, stream: true })
    .withResponse();
  assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/);
  let text = '';
  let finish: string | null = null;
  for await (const event of stream) {
    const { choices } = event as unknown as {
      readonly choices: readonly { delta: { content: string }; finish_reason?: string }[];
    };
    text += choices[0]?.delta.content ?? '';
    finish = choices[0]?.finish_reason ?? null;
  }
  assert.equal(finish, 'stop');
  return text;
}

test('an unknown model is not found, whatever the size of the recording', async () => {
  for (const bytes of [SMALL, LARGE]) {
    const asked = { file: fileOf(bytes), model: 'whisper-2' };
    for (const audio of [client.audio.transcriptions, client.audio.translations]) {
      const failure = await failureOf(audio.create(asked));
      assert(failure instanceof NotFoundError);
      assert.equal(failure.code, 'model_not_found');
      assert.match(failure.message, /whisper-1/);
      assert.equal(failure.headers.get('x-load'), null);
    }
  }
});

test('what the engine says of a bad recording passes; one that is too long never gets there', async () => {
  const noise = { file: fileOf(Buffer.alloc(2 * MIB, 'noise')), model: 'ear' };
  const refused = await failureOf(client.audio.transcriptions.create(noise));
  assert(refused instanceof BadRequestError);
  assert.match(refused.message, /Invalid or unsupported audio file/);
  assert.equal(refused.headers.get('x-load'), 'hot');
  const long = { file: fileOf(recording(LIMIT_MIB * MIB)), model: 'ear' };
  const tooLong = await failureOf(client.audio.transcriptions.create(long));
  assert(tooLong instanceof APIError);
  assert.equal(tooLong.status, 413);
  assert.equal(tooLong.code, 'body_too_large');
});

test('the requests are counted under the names of their routes', async () => {
  for (const route of ['transcriptions', 'translations']) {
    const counted = await gateway.metric(
      `vllm_gateway_route_requests_total{model="ear",route="/v1/audio/${route}"}`,
    );
    assert.ok(counted >= 4, route);
  }
});
