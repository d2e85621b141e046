import assert from 'node:assert/strict';
import { test } from 'node:test';
import { remedyOfAnswer } from './answer-remedies.ts';

const AUTO = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set';
const openAi = (message: string): string =>
  JSON.stringify({ error: { message, type: 'BadRequestError', param: null, code: 400 } });
const anthropic = (message: string): string =>
  JSON.stringify({ type: 'error', error: { type: 'invalid_request_error', message } });

test('a refusal for want of a tool parser has a remedy, in both shapes and for every choice', () => {
  for (const body of [
    openAi(AUTO),
    anthropic(AUTO),
    openAi('tool_choice="required" requires --tool-call-parser to be set'),
    openAi('tool_choice=function "get_weather" requires --tool-call-parser to be set'),
  ]) {
    const remedy = remedyOfAnswer(400, body);
    assert.equal(remedy?.code, 'tool_parser_missing', body);
    assert.match(remedy.text, /`tool_parser`/);
    assert.equal(remedyOfAnswer(400, body.slice(0, -1))?.code, 'tool_parser_missing', 'a body not yet whole');
    assert.equal(remedyOfAnswer(200, body), null);
  }
});

test('other refusals have none, also when a client’s text is quoted in them', () => {
  for (const body of [
    '',
    AUTO,
    openAi('The model `x` does not exist.'),
    openAi(`unknown field "${AUTO}"`),
    openAi(`input: {"message": "${AUTO}"}`),
  ]) {
    assert.equal(remedyOfAnswer(400, body), null, body);
  }
});
