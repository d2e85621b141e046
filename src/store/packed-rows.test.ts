import assert from 'node:assert/strict';
import { test } from 'node:test';
import { activityEntry } from '../../test/fixtures/activity.ts';
import { ACTIVITY_COLUMNS } from './activity-row.ts';
import { packedCount, ROW_BYTES_MAX, RowPack, unpackedRows } from './packed-rows.ts';

function rowsOf(pack: RowPack): readonly Readonly<Record<string, unknown>>[] {
  const packed = structuredClone(pack.packed());
  return Array.from({ length: packedCount(packed) }, (_, row) => {
    const values = unpackedRows(packed, row, row + 1);
    return Object.fromEntries(ACTIVITY_COLUMNS.map((column, index) => [column, values[index]]));
  });
}

test('P1: every column comes back under its own name', () => {
  const pack = new RowPack(8);
  pack.add(
    activityEntry({
      ...{ endedWallMs: 1_700_000_000_000, status: 1, streamed: true, waitMs: 2, ttfbMs: 3, durationMs: 4 },
      ...{ requestBytes: 5, responseBytes: 6, attempts: 7, clientRequestId: 'id', principal: 'who' },
      ...{ model: 'm', route: 'r', method: 'PUT', outcome: 'o', code: 'c', load: 'l', clientAddress: 'a' },
    }),
  );
  pack.add(
    activityEntry({
      ...{ ttfbMs: null, streamed: false, principal: null, model: null, code: null, load: null },
      clientAddress: null,
    }),
  );
  const [full, empty] = rowsOf(pack);
  assert.deepEqual(full, {
    ...{ ended_ms: 1_700_000_000_000, status: 1, streamed: 1, wait_ms: 2, ttfb_ms: 3, duration_ms: 4 },
    ...{ request_bytes: 5, response_bytes: 6, attempts: 7, request_id: 'id', principal: 'who' },
    ...{ model: 'm', route: 'r', method: 'PUT', outcome: 'o', code: 'c', load: 'l', client: 'a' },
  });
  const { ttfb_ms, streamed, principal, model, code, load, client } = empty ?? {};
  assert.deepEqual(
    { ttfb_ms, streamed, principal, model, code, load, client },
    {
      ...{ ttfb_ms: null, streamed: 0, principal: null, model: null, code: null, load: null, client: null },
    },
  );
});

test('P2: what repeats stands there once, in whatever order; beyond what is recognized nothing is lost', () => {
  const pack = new RowPack(4_096);
  for (let index = 0; index < 1_000; index += 1)
    pack.add(activityEntry({ clientRequestId: `r${index}`, model: `m${index % 3}`, clientAddress: 'POST' }));
  // 1,000 ids, three models, and route, method (the address has the same text), outcome and load.
  assert.equal(pack.packed().texts.length, 1_000 + 3 + 4);
  for (let index = 0; index < 1_000; index += 1) pack.add(activityEntry({ model: `other${index}` }));
  const rows = rowsOf(pack);
  assert.deepEqual(
    rows.map(({ model }) => model),
    Array.from({ length: 2_000 }, (_, index) => (index < 1_000 ? `m${index % 3}` : `other${index - 1_000}`)),
  );
  assert.ok(rows.every(({ method, route }) => method === 'POST' && route === 'chat_completions'));
});

test('a cleared pack knows nothing of its rows, and what was packed before stays as it was', () => {
  const pack = new RowPack(2);
  pack.add(activityEntry({ model: 'first' }));
  pack.add(activityEntry({ model: 'second' }));
  assert.ok(pack.isFull);
  const packed = pack.packed();
  pack.clear();
  assert.deepEqual([pack.rows, pack.bytes, pack.isFull], [0, 0, false]);
  pack.add(activityEntry({ model: 'second' }));
  assert.deepEqual(
    [...rowsOf(pack)].map(({ model }) => model),
    ['second'],
  );
  assert.equal(packedCount(packed), 2);
  assert.equal(unpackedRows(packed, 0, 1)[ACTIVITY_COLUMNS.indexOf('model')], 'first');
});

test('texts are cut, also those that are alike up to there, and no row takes more than the most', () => {
  const pack = new RowPack(2);
  const long = (name: string): string => name + 'x'.repeat(10_000);
  pack.add(
    activityEntry({
      ...{ clientRequestId: long('a'), principal: long('b'), model: long('c'), route: long('d') },
      ...{
        method: long('e'),
        outcome: long('f'),
        code: long('g'),
        load: long('h'),
        clientAddress: long('i'),
      },
    }),
  );
  assert.equal(pack.bytes, ROW_BYTES_MAX);
  assert.equal(rowsOf(pack)[0]?.['model'], `c${'x'.repeat(255)}`);
});
