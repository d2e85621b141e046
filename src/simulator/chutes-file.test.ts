import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { openChutes } from './chutes-file.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'chutes-'));
after(() => rmSync(directory, { recursive: true }));

function opened(name: string, times: readonly string[]) {
  const file = path.join(directory, name);
  const rows = times.map((time, index) => `c${index % 2},${time},${index},7`);
  writeFileSync(file, `chute_id,started_at,it,ot\n${rows.join('\n')}\n`);
  return openChutes(file);
}

test('times in every spelling count from the first row', () => {
  const spellings: Readonly<Record<string, readonly string[]>> = {
    iso: ['2025-03-01T12:00:00Z', '2025-03-01T12:00:01.500Z'],
    blank: ['2025-03-01 12:00:00.000000+00:00', '2025-03-01 14:00:01.500000+02:00'],
    short: ['2025-03-01 12:00:00', '2025-03-01 12:00:01.5+00'],
    seconds: ['1740830400', '1740830401.5'],
    milliseconds: ['1740830400000', '1740830401500'],
    microseconds: ['1740830400000000', '1740830401500000'],
  };
  for (const [name, times] of Object.entries(spellings)) {
    const trace = opened(`${name}.csv`, times);
    assert.deepEqual([trace.models, trace.count, trace.lastMs], [['c0', 'c1'], 2, 1500], name);
    const stream = trace.open();
    assert.deepEqual(stream.next(), { atMs: 0, model: 'c0', promptTokens: 0, outputTokens: 7 });
    assert.deepEqual(stream.next(), { atMs: 1500, model: 'c1', promptTokens: 1, outputTokens: 7 });
    assert.equal(stream.next(), null);
    stream.close();
  }
});

test('what is no time is named with its line', () => {
  assert.throws(() => opened('no-time.csv', ['1740830400', 'soon']), /no-time\.csv:3: started_at is "soon"/);
  assert.throws(() => opened('back.csv', ['1740830400', '1740830399']), /back\.csv:3: time goes back/);
});
