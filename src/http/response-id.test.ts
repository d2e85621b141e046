import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isResponseId, ResponseIdReader } from './response-id.ts';

/** What is found in a body that comes in pieces of this size; the pieces' memory is overwritten after each call. */
function idsIn(body: string, isEventStream: boolean, size = body.length): string[] {
  const found: string[] = [];
  const reader = new ResponseIdReader(isEventStream, (id) => found.push(id));
  const bytes = Buffer.from(body);
  for (let at = 0; at < bytes.length; at += size) {
    const piece = Buffer.from(bytes.subarray(at, at + size));
    reader.piece(piece);
    piece.fill(0x20);
  }
  return found;
}

const created = JSON.stringify({ response: { id: 'resp_1', tools: [{ id: 'no' }] }, sequence_number: 0 });

describe('ResponseIdReader', () => {
  it('finds the top-level id of a body, whatever the pieces', () => {
    const body = JSON.stringify({
      output: [{ id: 'msg_1' }],
      text: 'a "id": b',
      id: 'resp_1',
      object: 'response',
    });
    for (const size of [1, 2, 7, body.length])
      assert.deepEqual(idsIn(body, false, size), ['resp_1'], `${size}`);
  });

  it('finds the id of the first event, behind comments and other fields, whatever the pieces', () => {
    const body = `: keep-alive data: no\n\nevent: response.created\ndata: ${created}\n\nevent: x\ndata: {"response":{"id":"resp_2"}}\n\n`;
    for (const size of [1, 3, 50, body.length])
      assert.deepEqual(idsIn(body, true, size), ['resp_1'], `${size}`);
  });

  it('finds nothing where nothing is', () => {
    for (const body of [
      '',
      '[]',
      '{',
      '{"id":7}',
      '{"id":"a b"}',
      '{"error":{"id":"resp_1"}}',
      '{"id":"resp',
      'no',
    ])
      assert.deepEqual(idsIn(body, false), [], body);
    for (const body of ['data: {"error":{"id":"x"}}\n\n', 'data: [DONE]\n\n', `event: ${created}\n\n`])
      assert.deepEqual(idsIn(body, true), [], body);
  });

  it('gives up beyond its limit', () => {
    const late = `{"instructions":"${'x'.repeat(70_000)}","id":"resp_1"}`;
    assert.deepEqual(idsIn(late, false, 1000), []);
    assert.deepEqual(idsIn(`{"instructions":"${'x'.repeat(60_000)}","id":"resp_1"}`, false, 1000), [
      'resp_1',
    ]);
  });
});

it('ids are short and can stand in a path', () => {
  assert.ok(isResponseId(`resp_${'0123456789abcdef'.repeat(2)}`));
  for (const text of ['', 'a/b', 'a b', 'ä', '%2f', 'x'.repeat(257)]) assert.ok(!isResponseId(text), text);
});
