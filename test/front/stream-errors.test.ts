/** Errors that an engine tells of within its stream, as vLLM does: they pass unaltered, and are noticed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MODEL, startFixture } from './front-fixture.ts';

const FAILURE =
  '{"message":"EngineCore encountered an issue.","type":"InternalServerError","param":null,"code":500}';

const streams: readonly (readonly [string, string])[] = [
  [
    '/v1/chat/completions',
    `data: {"id":"chatcmpl-1","choices":[]}\n\ndata: {"error": ${FAILURE}}\n\ndata: [DONE]\n\n`,
  ],
  ['/v1/completions', `data: {"error": ${FAILURE}}\n\ndata: [DONE]\n\n`],
  [
    '/v1/messages',
    `event: message_start\ndata: {"type":"message_start"}\n\nevent: error\ndata: {"type":"error","error":${FAILURE}}\n\n`,
  ],
  [
    '/v1/responses',
    'event: response.created\ndata: {}\n\nevent: response.failed\ndata: {"type":"response.failed"}\n\n',
  ],
];

for (const [path, stream] of streams) {
  for (const bytesPerChunk of [1, 7, 10_000]) {
    test(`an error within a stream on ${path}, ${bytesPerChunk} bytes a chunk, passes and is noted`, async (context) => {
      const { client, engine, ended, gate } = await startFixture(context);
      engine.behaviour = (request) => {
        request.startEvents();
        for (let at = 0; at < stream.length; at += bytesPerChunk)
          request.chunk(stream.slice(at, at + bytesPerChunk));
        request.endChunks();
      };
      const raw = await client();
      const answer = await raw.post(path, { model: MODEL, stream: true }).answer();
      assert.equal(answer.body, stream);
      assert.equal(answer.complete, true);
      const [end] = await ended(1);
      assert.equal(end?.outcome, 'stream_error');
      assert.equal(end?.streamErrors, 1);
      // The engine answered: nothing says that it is ill.
      assert.deepEqual(gate.details('finish'), ['answered']);
    });
  }
}

test('an answer that is no stream is not looked into, and a stream without errors has none', async (context) => {
  const { client, engine, ended } = await startFixture(context);
  const raw = await client();
  engine.behaviour = (request) => request.json({ error: { message: 'data: {"error": {}}' } }, 500);
  await raw.post('/v1/chat/completions', { model: MODEL }).answer();
  engine.behaviour = (request) => request.startEvents().chunk('data: {"id":1}\n\n').endChunks();
  await raw.post('/v1/chat/completions', { model: MODEL, stream: true }).answer();
  const ends = await ended(2);
  assert.deepEqual(
    ends.map((end) => [end.outcome, end.streamErrors]),
    [
      ['answered', 0],
      ['answered', 0],
    ],
  );
});
