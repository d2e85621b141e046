import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { eventFrames, type SimProcess, startVllmSim } from '../../../../test/fakes/vllm-sim.ts';
import { durationS, recording, transcriptOf } from '../../../../test/fixtures/recordings.ts';
import { audioDurationS } from './audio-file.ts';

const TRANSCRIPTIONS = '/v1/audio/transcriptions';
const TRANSLATIONS = '/v1/audio/translations';
const SMALL = recording(64_044);

async function start(
  t: TestContext,
  environment: Readonly<Record<string, string>> = {},
): Promise<SimProcess> {
  const args = [
    '--served-model-name',
    'ear',
    'other',
    '--sim-answer',
    'echo',
    '--sim-tokens-per-second',
    '0',
  ];
  const sim = startVllmSim(t, { model: 'acme/whisper-tiny', args, environment });
  await sim.ready();
  return sim;
}

interface Asked {
  readonly status: number;
  readonly text: string;
  readonly error: { readonly message: string; readonly type: string; readonly param: string | null };
  json(): Record<string, unknown>;
}

async function ask(
  sim: SimProcess,
  path: string,
  fields: Readonly<Record<string, string>>,
  file: Buffer | string | null = SMALL,
): Promise<Asked> {
  const form = new FormData();
  if (typeof file === 'string') form.set('file', file);
  else if (file !== null) form.set('file', new File([new Uint8Array(file)], 'a.wav'));
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  const encoded = new Response(form);
  const answer = await sim.request({
    path,
    rawBody: Buffer.from(await encoded.arrayBuffer()),
    headers: { 'content-type': encoded.headers.get('content-type') ?? '' },
  });
  return {
    ...answer,
    get error() {
      return (answer.json() as unknown as Pick<Asked, 'error'>).error;
    },
  };
}

test('a recording is heard whole, in each format that vLLM has', async (t) => {
  const sim = await start(t);
  const text = transcriptOf(SMALL);
  for (const response_format of ['json', 'text']) {
    const heard = await ask(sim, TRANSCRIPTIONS, { model: 'other', response_format });
    assert.equal(heard.text, JSON.stringify({ text, usage: { type: 'duration', seconds: 2 } }));
    const translated = await ask(sim, TRANSLATIONS, { response_format });
    assert.equal(translated.text, JSON.stringify({ text }));
  }
  const verbose = await ask(sim, TRANSCRIPTIONS, { response_format: 'verbose_json', language: 'de' });
  const { segments, ...rest } = verbose.json() as { segments: Record<string, unknown>[] };
  assert.deepEqual(rest, { duration: 2, language: 'de', text, words: null });
  const [{ tokens, ...segment } = {}] = segments;
  assert.ok(Array.isArray(tokens) && tokens.length > 0);
  assert.deepEqual(segment, {
    id: 0,
    avg_logprob: -0.25,
    compression_ratio: 1,
    end: 2,
    no_speech_prob: null,
    seek: 0,
    start: 0,
    temperature: 0,
    text,
  });
});

test('a stream is made of chunks, with counts where they are asked for', async (t) => {
  const sim = await start(t);
  for (const [path, id, object] of [
    [TRANSCRIPTIONS, 'transcribe-', 'transcription.chunk'],
    [TRANSLATIONS, 'translate-', 'translation.chunk'],
  ] as const) {
    const answer = await ask(sim, path, { model: 'other', stream: 'true', stream_include_usage: 'true' });
    const frames = eventFrames(answer.text).map(({ data }) => data);
    assert.equal(frames.pop(), '[DONE]');
    const chunks = frames.map((data) => JSON.parse(data) as Record<string, unknown>);
    for (const chunk of chunks) {
      assert.ok(String(chunk['id']).startsWith(id));
      assert.deepEqual([chunk['object'], chunk['model']], [object, 'other']);
    }
    const { choices: none, usage } = chunks.pop() ?? {};
    assert.deepEqual(none, []);
    const deltas = chunks.flatMap(({ choices }) => choices as { delta: { content: string } }[]);
    assert.equal(deltas.map(({ delta }) => delta.content).join(''), transcriptOf(SMALL));
    assert.deepEqual(deltas.at(-1), { delta: { content: '' }, finish_reason: 'stop', stop_reason: null });
    // 2 s of audio, four tokens in front, one for each piece.
    assert.equal((usage as { prompt_tokens: number }).prompt_tokens, 204);
    assert.equal((usage as { completion_tokens: number }).completion_tokens, deltas.length - 1);
  }
  const short = await ask(sim, TRANSCRIPTIONS, { stream: 'true', max_completion_tokens: '1' });
  assert.match(short.text, /"delta":\{"content":"audio"\},"finish_reason":"length"/);
});

test('what vLLM refuses is refused in its words', async (t) => {
  const sim = await start(t, { VLLM_MAX_AUDIO_CLIP_FILESIZE_MB: '1' });
  const cases: readonly (readonly [
    string,
    Record<string, string>,
    Buffer | string | null,
    number,
    RegExp,
  ])[] = [
    [TRANSCRIPTIONS, { model: 'ear' }, null, 400, /'missing', 'loc': 'body.file'.*<dict of 1 items>/],
    [TRANSCRIPTIONS, {}, 'a.wav', 422, /^Expected 'file' to be a file-like object, not 'str'\.$/],
    [TRANSCRIPTIONS, {}, Buffer.from('no audio at all'), 400, /^Invalid or unsupported audio file\.$/],
    [TRANSCRIPTIONS, {}, Buffer.alloc(0), 400, /^Invalid or unsupported audio file\.$/],
    [
      TRANSCRIPTIONS,
      {},
      recording(1_048_577),
      400,
      /^Maximum file size exceeded \(parameter=audio_filesize_mb/,
    ],
    [TRANSCRIPTIONS, { model: 'nose' }, SMALL, 404, /^The model `nose` does not exist/],
    [TRANSCRIPTIONS, { language: 'xx' }, SMALL, 400, /^Unsupported language: 'xx'/],
    [TRANSCRIPTIONS, { response_format: 'srt' }, SMALL, 400, /^Currently only support response_format: /],
    [TRANSCRIPTIONS, { response_format: 'diarized_json' }, SMALL, 400, /diarized_json for ear$/],
    [TRANSCRIPTIONS, { response_format: 'xml' }, SMALL, 400, /^2 validation errors:.*'literal_error'/s],
    [
      TRANSLATIONS,
      { response_format: 'diarized_json' },
      SMALL,
      400,
      /^1 validation error:.*'srt', 'verbose_json' or 'vtt'/s,
    ],
    [
      TRANSCRIPTIONS,
      { response_format: 'verbose_json', stream: 'true' },
      SMALL,
      400,
      /^verbose_json format doesn't/,
    ],
    [TRANSCRIPTIONS, { stream_include_usage: 'true' }, SMALL, 400, /^Stream options can only be defined/],
    [TRANSCRIPTIONS, { stream: 'perhaps' }, SMALL, 400, /body\.stream/],
  ];
  for (const [path, fields, file, status, message] of cases) {
    const answer = await ask(sim, path, fields, file);
    assert.equal(answer.status, status, answer.text);
    assert.match(answer.error.message, message);
  }
  const json = await sim.request({ path: TRANSCRIPTIONS, body: { model: 'ear' } });
  assert.match(json.text, /1 validation error.*body\.file.*<dict of 0 items>/);
  const headers = { 'content-type': 'multipart/form-data; boundary=x' };
  const broken = await sim.request({ path: TRANSCRIPTIONS, rawBody: '--x\r\n', headers });
  assert.equal(broken.status, 400);
  assert.match(broken.text, /There was an error parsing the body/);
});

test('models that hear have no other routes, and others not these', async (t) => {
  const sim = await start(t);
  await sim.line(/Supported tasks: \['transcription'\]/);
  const { status } = await sim.request({ path: '/v1/chat/completions', body: { messages: [] } });
  assert.equal(status, 404);
  const deaf = startVllmSim(t);
  await deaf.ready();
  assert.equal((await ask(deaf, TRANSCRIPTIONS, {})).status, 404);
});

test('the length of a recording is read from its head, and nothing else is taken for one', () => {
  assert.equal(audioDurationS(SMALL), durationS(SMALL));
  for (const mark of ['fLaC', 'OggS', 'ID3', '\xff\xfb', '\x1a\x45\xdf\xa3', '\0\0\0 ftypM4A ']) {
    assert.equal(audioDurationS(Buffer.concat([Buffer.from(mark, 'latin1')], 16_000)), 1, mark);
  }
  const silent = recording(100);
  silent.writeUInt32LE(0, 28);
  for (const bytes of [silent, SMALL.subarray(0, 40), Buffer.from('text'), Buffer.alloc(0)])
    assert.equal(audioDurationS(bytes), null);
});
