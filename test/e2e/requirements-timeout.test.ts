/** R6 of the original's document: the time that an engine may be silent is configurable, and honoured. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type RunningGateway, simulatedConfig, simulatedModel, startGateway } from '../fixtures/gateway.ts';
import { chat, isCompleteStream, untilCounts, untilEnginesIdle } from '../fixtures/requests.ts';

const SILENCE_S = 1.5;
/** One token in five seconds; the answer that is warmed up with has one. */
const MUTE_TOKENS_PER_S = 0.2;
/** Longer than any wait of a test: the engine stops working because it is told to. */
const MUTE_TOKENS = 40;

let gateway: RunningGateway;

before(async () => {
  const speaking = (tokensPerSecond: number): Record<string, unknown> =>
    simulatedModel({
      memoryMib: 4_000,
      args: ['--sim-tokens-per-second', tokensPerSecond, '--sim-prefill-tokens-per-second', 0],
    });
  const config = simulatedConfig({ mute: speaking(MUTE_TOKENS_PER_S), slow: speaking(5) });
  gateway = await startGateway({
    config: { ...config, server: { shutdown_delay: 0, engine_timeout: SILENCE_S } },
  });
});

after(() => gateway.stop());

test('R6: an engine silent for longer than the timeout is given up with 504 and the seconds, and stops working', async () => {
  const answer = await chat(gateway.url, 'mute', { tokens: MUTE_TOKENS });
  assert.equal(answer.status, 504);
  const { error } = JSON.parse(answer.text) as {
    readonly error: { readonly code: string; readonly message: string };
  };
  assert.equal(error.code, 'engine_timeout');
  assert.ok(error.message.includes(`within ${SILENCE_S} s`), error.message);
  await untilCounts(gateway, 'mute', { running: 0, waiting: 0 });
  await untilEnginesIdle(gateway);
});

test('R6: a stream that falls silent in the middle ends with an error and never looks complete', async () => {
  const answer = await chat(gateway.url, 'mute', { tokens: MUTE_TOKENS, stream: true });
  assert.equal(answer.status, 200);
  assert.ok(answer.text.includes('"engine_timeout"'), answer.text);
  assert.ok(!isCompleteStream(answer.text));
  await untilCounts(gateway, 'mute', { running: 0, waiting: 0 });
  await untilEnginesIdle(gateway);
});

test('R6: an answer that takes longer than the timeout is no silence while its bytes flow', async () => {
  const answer = await chat(gateway.url, 'slow', { tokens: 12, stream: true });
  assert.equal(answer.status, 200);
  assert.ok(isCompleteStream(answer.text));
});
