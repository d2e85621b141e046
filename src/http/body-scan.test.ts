import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type BodyScan, scanBody } from './body-scan.ts';
import { JSON_NESTING_MAX } from './json-reader.ts';

function scan(text: string): BodyScan {
  return scanBody(Buffer.from(text));
}

function accepted(text: string) {
  const result = scan(text);
  assert.equal(result.kind, 'ok', `${text}: ${JSON.stringify(result)}`);
  assert(result.kind === 'ok');
  return result;
}

function refusalOf(body: string | Uint8Array) {
  const result = scanBody(typeof body === 'string' ? Buffer.from(body) : body);
  assert(result.kind === 'fault', `${body} was accepted`);
  return result.refusal;
}

describe('scanBody on bodies it accepts', () => {
  it('finds the model and its byte range wherever it stands', () => {
    for (const text of [
      '{"model":"m"}',
      ' \r\n\t{ "model" : "m" }\n',
      '{"a":"\\"model\\":\\"x\\"","model":"m","b":{"model":"y"},"c":[{"model":"z"}]}',
      '{"ключ":"значение","model":"m"}',
      '{"a":-0.5e+10,"b":true,"c":false,"d":null,"e":[],"f":{},"g":"","model":"m"}',
    ]) {
      const body = accepted(text);
      assert.equal(body.model, 'm');
      assert.equal(Buffer.from(text).toString('utf8', body.modelStart, body.modelEnd), '"m"');
      assert.equal(Buffer.from(text).toString('utf8', body.objectStart, body.objectStart + 1), '{');
      assert.equal(Buffer.from(text).toString('utf8', body.objectEnd, body.objectEnd + 1), '}');
    }
  });

  it('decodes escapes in top-level keys and in the name', () => {
    assert.equal(accepted('{"mod\\u0065l":"m"}').model, 'm');
    assert.equal(accepted('{"\\u006d\\u006f\\u0064\\u0065\\u006c":"m"}').model, 'm');
    assert.equal(accepted('{"model":"a\\/b\\u00e9\\ud83d\\ude00"}').model, 'a/bé😀');
    assert.equal(accepted('{"\\u0073\\u0074\\u0072\\u0065\\u0061\\u006d":true}').stream, true);
  });

  it('takes only the exact key for the model', () => {
    for (const key of ['Model', 'model ', 'mode', 'models', 'model\\u0000', 'm\\u043edel', '\\\\u006dodel']) {
      assert.equal(accepted(`{"${key}":"m"}`).model, null);
    }
  });

  it('reports a stream only for a literal true', () => {
    assert.equal(accepted('{"model":"m","stream":true}').stream, true);
    for (const value of ['false', 'null', '"true"', '1', '{"stream":true}']) {
      assert.equal(accepted(`{"model":"m","stream":${value}}`).stream, false);
    }
  });

  it('says that there is no model when the object has none', () => {
    const body = accepted('{ }');
    assert.deepEqual([body.model, body.modelStart, body.modelEnd], [null, -1, -1]);
    assert.equal(accepted('{"messages":[{"model":"inner"}]}').model, null);
  });

  it('finds what Responses need at the top level only', () => {
    const found = (text: string) => {
      const { background, previousResponseId } = accepted(text);
      return [background, previousResponseId];
    };
    assert.deepEqual(found('{"model":"m","background":true,"previous_response_id":"resp_1"}'), [
      true,
      'resp_1',
    ]);
    assert.deepEqual(found('{"x":{"background":true,"previous_response_id":"a"}}'), [false, null]);
    assert.deepEqual(found('{"max_tokens":true,"presence_penalty_xx_":"a"}'), [false, null]);
    const letters = (key: string) =>
      [...key].map((letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');
    const escaped = `{"${letters('background')}":1,"${letters('previous_response_id')}":"r"}`;
    assert.deepEqual(found(escaped), [true, 'r']);
    // Python's models read true from all of these.
    for (const value of ['true', '1', '"yes"', '"true"'])
      assert.equal(found(`{"background":${value}}`)[0], true);
    for (const value of ['false', 'null']) assert.equal(found(`{"background":${value}}`)[0], false);
    for (const value of ['null', '7', '{}'])
      assert.equal(found(`{"previous_response_id":${value}}`)[1], null);
  });

  it('follows quotes and backslashes in strings of every length', () => {
    for (let length = 0; length < 200; length++) {
      for (const tail of ['', '\\"', '\\\\', '\\\\\\"', '\\\\\\\\']) {
        const text = `{"prompt":"${'x'.repeat(length)}${tail}","model":"m"}`;
        assert.equal(accepted(text).model, 'm', text);
        assert.equal(refusalOf(text.slice(0, 12 + length)).code, 'body_not_json');
      }
    }
  });

  it('reads nesting up to its limit', () => {
    const nested = (depth: number): string => `{"a":${'['.repeat(depth)}${']'.repeat(depth)},"model":"m"}`;
    assert.equal(accepted(nested(JSON_NESTING_MAX)).model, 'm');
    const refusal = refusalOf(nested(JSON_NESTING_MAX + 1));
    assert.equal(refusal.code, 'body_not_json');
    assert.match(String(refusal.parameters.detail), /nesting deeper than 512 levels/);
  });

  it('finds the same model in every object that JSON.stringify can write', () => {
    const body = fc.record({
      before: fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 4 })),
      model: fc.string({ unit: 'grapheme' }),
      after: fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 })),
      indent: fc.constantFrom(0, 1, '\t'),
    });
    fc.assert(
      fc.property(body, ({ before, model, after, indent }) => {
        const { model: _one, ...first } = before;
        const { model: _two, ...last } = after;
        const text = JSON.stringify({ ...first, model, ...last }, null, indent);
        return accepted(text).model === model;
      }),
      { numRuns: 2000 },
    );
  });
});

describe('scanBody on bodies it refuses', () => {
  it('names the kind of a model that is not a string', () => {
    const kinds = { '1': 'a number', true: 'a boolean', null: 'null', '[]': 'an array', '{}': 'an object' };
    for (const [value, found] of Object.entries(kinds)) {
      assert.deepEqual(refusalOf(`{"model":${value}}`), { code: 'model_not_string', parameters: { found } });
    }
  });

  it('refuses model and stream twice, also when one of them is escaped', () => {
    for (const text of [
      '{"model":"a","model":"a"}',
      '{"mod\\u0065l":"a","model":"b"}',
      '{"model":"a","x":{},"\\u006Dodel":1}',
    ]) {
      assert.deepEqual(refusalOf(text), { code: 'model_duplicate', parameters: { key: 'model' } });
    }
    assert.deepEqual(refusalOf('{"stream":true,"str\\u0065am":false}').parameters, { key: 'stream' });
    assert.deepEqual(refusalOf('{"background":true,"b\\u0061ckground":false}').parameters, {
      key: 'background',
    });
    assert.deepEqual(refusalOf('{"previous_response_id":"a","previous_response_id":null}').parameters, {
      key: 'previous_response_id',
    });
  });

  it('refuses what is not UTF-8 and says where', () => {
    for (const prefix of ['', 'x'.repeat(15), 'é'.repeat(700), 'x'.repeat(70_000), '😀'.repeat(40_000)]) {
      for (const bad of [
        [0xff],
        [0xc0, 0xaf],
        [0xed, 0xa0, 0x80],
        [0xe2, 0x82],
        [0x80],
        [0xf5, 0x80, 0x80, 0x80],
      ]) {
        const head = Buffer.from(`{"model":"m","a":"${prefix}`);
        const body = Buffer.concat([head, Buffer.from(bad), Buffer.from('"}')]);
        assert.deepEqual(refusalOf(body), { code: 'body_not_utf8', parameters: { offset: head.length } });
      }
    }
  });

  it('refuses other encodings and byte order marks', () => {
    const text = '{"model":"m"}';
    assert.equal(refusalOf(Buffer.from(text, 'utf16le')).code, 'body_not_json');
    assert.equal(refusalOf(Buffer.from(`\uFEFF${text}`, 'utf16le')).code, 'body_not_utf8');
    assert.match(String(refusalOf(`\uFEFF${text}`).parameters.detail), /byte order mark/);
  });

  it('refuses half a surrogate pair in the name', () => {
    for (const name of ['\\ud800', '\\udc00', 'a\\ud83dx', '\\ude00\\ud83d']) {
      assert.equal(refusalOf(`{"model":"${name}"}`).code, 'body_not_json');
    }
  });

  it('refuses everything else that is not an object in JSON', () => {
    for (const text of [
      '',
      ' ',
      '[]',
      '"model"',
      'null',
      '1',
      'model=m',
      '{',
      '{"',
      '{"model',
      '{"model"',
      '{"model":',
      '{"model":"m',
      '{"model":"m"',
      '{"model":"m",',
      '{"model":"m",}',
      '{,"model":"m"}',
      '{"model" "m"}',
      "{'model':'m'}",
      '{model:"m"}',
      '{"model":"m"}}',
      '{"model":"m"}{',
      '{"model":"m"} x',
      '{"model":"m"}\0',
      '\0{"model":"m"}',
      '{"model":"m","a":NaN}',
      '{"model":"m","a":Infinity}',
      '{"model":"m","a":-Infinity}',
      '{"model":"m","a":01}',
      '{"model":"m","a":1.}',
      '{"model":"m","a":.5}',
      '{"model":"m","a":+1}',
      '{"model":"m","a":1e}',
      '{"model":"m","a":-}',
      '{"model":"m","a":0x1}',
      '{"model":"m","a":tru}',
      '{"model":"m","a":True}',
      '{"model":"m","a":}',
      '{"model":"m","a"}',
      '{"model":"m","a":[}',
      '{"model":"m","a":[}]',
      '{"model":"m","a":{]}',
      '{"model":"m","a":[1}',
      '{"model":"m"/**/}',
      '//\n{"model":"m"}',
      '{"model":"a\nb"}',
      '{"mo\ndel":"m"}',
      '{"model":"\\x"}',
      '{"model":"\\u12"}',
      '{"mod\\u00":"m"}',
      '\u00a0{"model":"m"}',
      '{\u00a0"model":"m"}',
      '{"model":"m" "a":1}',
      '{"model":"m","a":"b" "c"}',
      '{"model":"m";"a":1}',
      '{"a":1 2,"model":"m"}',
    ]) {
      assert.equal(refusalOf(text).code, 'body_not_json', text);
    }
  });

  it('tells the byte at which it stopped', () => {
    assert.equal(
      refusalOf('{"model":"m" "a":1}').parameters.detail,
      'a comma or a closing brace is missing at byte 13',
    );
    assert.equal(
      refusalOf('{"model":"m","a":"b').parameters.detail,
      'it ends at byte 19 where a string is not closed',
    );
  });
});
