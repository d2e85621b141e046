import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { scanBody } from './body-scan.ts';
import { type EditRequest, prepareEdits, spliceBody } from './splice.ts';

function splice(text: string, request: EditRequest): string {
  const bytes = Buffer.from(text);
  const scan = scanBody(bytes);
  const edits = prepareEdits(request);
  assert(scan.kind === 'ok' && edits !== null);
  return Buffer.from(spliceBody(bytes, scan, edits)).toString();
}

describe('prepareEdits', () => {
  it('is null when no body would change', () => {
    assert.equal(prepareEdits({}), null);
    assert.equal(prepareEdits({ model: null, defaults: {}, set: {}, strip: [] }), null);
    assert.equal(prepareEdits({ defaults: { model: 'x', a: undefined }, strip: ['model'] }), null);
  });
});

describe('spliceBody', () => {
  it('exchanges the model and leaves every other byte', () => {
    const text = ' { "a" : 1.50 ,\n "mod\\u0065l" : "old\\n" , "b":"\\/" } ';
    assert.equal(
      splice(text, { model: 'new "name"' }),
      ' { "a" : 1.50 ,\n "mod\\u0065l" : "new \\"name\\"" , "b":"\\/" } ',
    );
  });

  it('adds the model where the body has none', () => {
    assert.equal(splice('{}', { model: 'm' }), '{"model":"m"}');
    assert.equal(splice('{ "a":1 }', { model: 'm' }), '{ "a":1 ,"model":"m"}');
  });

  it('adds defaults only for keys that the caller did not send', () => {
    const defaults = { temperature: 0.2, stop: ['x'], model: 'never' };
    assert.equal(
      splice('{"model":"m","temperatur\\u0065":null}', { defaults }),
      '{"model":"m","temperatur\\u0065":null,"stop":["x"]}',
    );
  });

  it('strips and sets parameters, wherever and however often they stand', () => {
    const text = '{"seed":1 , "model":"m", "user":"u", "us\\u0065r":2}';
    assert.equal(splice(text, { strip: ['user', 'seed'] }), '{ "model":"m"}');
    assert.equal(splice(text, { set: { user: 'x' } }), '{"seed":1 , "model":"m","user":"x"}');
    assert.equal(splice('{"seed":1}', { strip: ['seed'] }), '{}');
    assert.equal(splice('{"seed":1}', { strip: ['seed'], defaults: { seed: 2 } }), '{"seed":2}');
    assert.equal(splice('{"a":1}', { set: { a: 2 }, defaults: { a: 3 } }), '{"a":2}');
  });

  it('returns the same bytes, uncopied, when the edits change nothing', () => {
    const bytes = Buffer.from('{"model":"m","temperature":1}');
    const scan = scanBody(bytes);
    assert(scan.kind === 'ok');
    for (const request of [{ model: 'm' }, { defaults: { temperature: 0 } }, { strip: ['absent'] }]) {
      const edits = prepareEdits(request);
      assert(edits !== null);
      assert.equal(spliceBody(bytes, scan, edits), bytes);
    }
  });

  it('keeps a plain Uint8Array with an offset apart from the memory around it', () => {
    const memory = Buffer.from('xxxx{"model":"m"}yyyy');
    const bytes = new Uint8Array(memory.buffer, memory.byteOffset + 4, 13);
    const scan = scanBody(bytes);
    const edits = prepareEdits({ model: 'other' });
    assert(scan.kind === 'ok' && edits !== null);
    assert.equal(Buffer.from(spliceBody(bytes, scan, edits)).toString(), '{"model":"other"}');
  });

  it('means what the same edits mean to JSON.parse', () => {
    const key = fc.constantFrom('a', 'b', 'c"', 'model', 'ключ', '__proto__', 'stream', '\u2028');
    const record = fc.dictionary(key, fc.jsonValue({ maxDepth: 2 }), { noNullPrototype: true });
    const request = fc.record({
      model: fc.option(fc.string({ unit: 'grapheme' })),
      defaults: record,
      set: record,
      strip: fc.array(key),
    });
    const body = fc.tuple(record, fc.option(fc.string({ unit: 'grapheme' })), fc.constantFrom(0, 1, '\t'));
    fc.assert(
      fc.property(body, request, ([members, model, indent], edits) => {
        const entries = Object.entries(members).filter(([name]) => name !== 'model');
        if (model !== null) entries.splice(entries.length >> 1, 0, ['model', model]);
        const text = JSON.stringify(Object.fromEntries(entries), null, indent);
        const bytes = Buffer.from(text);
        const scan = scanBody(bytes);
        const prepared = prepareEdits(edits);
        assert(scan.kind === 'ok');
        const spliced = prepared === null ? bytes : spliceBody(bytes, scan, prepared);
        assert.deepEqual(JSON.parse(Buffer.from(spliced).toString()), edited(JSON.parse(text), edits));
        const again = scanBody(spliced);
        assert(again.kind === 'ok' && again.model === (edits.model ?? model));
      }),
      { numRuns: 3000 },
    );
  });
});

/** The specification of the edits, on values. */
function edited(members: Record<string, unknown>, edits: EditRequest): unknown {
  const result = new Map(Object.entries(members));
  for (const key of edits.strip ?? []) if (key !== 'model') result.delete(key);
  for (const [key, value] of Object.entries(edits.defaults ?? {})) {
    if (key !== 'model' && !result.has(key)) result.set(key, value);
  }
  for (const [key, value] of Object.entries(edits.set ?? {})) if (key !== 'model') result.set(key, value);
  if (typeof edits.model === 'string') result.set('model', edits.model);
  return JSON.parse(JSON.stringify(Object.fromEntries(result)));
}
