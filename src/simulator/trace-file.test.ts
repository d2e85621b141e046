import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import type { SimulatedRequest } from './request-source.ts';
import { openTrace } from './trace-file.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'trace-'));
after(() => rmSync(directory, { recursive: true }));

const HEADER = 't_ms,model,prompt_tokens,output_tokens';

function written(name: string, text: string): string {
  const file = path.join(directory, name);
  writeFileSync(file, text);
  return file;
}

function requestsOf(file: string): readonly SimulatedRequest[] {
  const stream = openTrace(file).open();
  const requests: SimulatedRequest[] = [];
  for (let request = stream.next(); request !== null; request = stream.next()) requests.push(request);
  stream.close();
  return requests;
}

test('names, count and span are known; the rows are the same at each reading', () => {
  const file = written('good.csv', `${HEADER}\n5,b,10,20\n7.5,a,0,3\n7.5,b,1,1\n`);
  const trace = openTrace(file);
  assert.deepEqual([trace.models, trace.count, trace.firstMs, trace.lastMs], [['b', 'a'], 3, 5, 7.5]);
  const expected = [
    { atMs: 5, model: 'b', promptTokens: 10, outputTokens: 20 },
    { atMs: 7.5, model: 'a', promptTokens: 0, outputTokens: 3 },
    { atMs: 7.5, model: 'b', promptTokens: 1, outputTokens: 1 },
  ];
  assert.deepEqual(requestsOf(file), expected);
  assert.deepEqual(requestsOf(file), expected);
});

test('columns in another order, others beside them, Windows line ends, quotes, no newline at the end', () => {
  const text = `\ufeffmodel,note,output_tokens,t_ms,prompt_tokens\r\n"a, ""b""",x,2,0,1\r\n\r\nä,,4,1,3`;
  assert.deepEqual(requestsOf(written('other.csv', text)), [
    { atMs: 0, model: 'a, "b"', promptTokens: 1, outputTokens: 2 },
    { atMs: 1, model: 'ä', promptTokens: 3, outputTokens: 4 },
  ]);
});

test('rows that cross the border of a chunk are whole', () => {
  const name = 'model-ä'.padEnd(1000, 'ö');
  const rows = Array.from({ length: 300 }, (_, index) => `${index},${name}${index},1,${index}`);
  const requests = requestsOf(written('long.csv', `${HEADER}\n${rows.join('\n')}\n`));
  assert.equal(requests.length, 300);
  assert.ok(requests.every(({ model, outputTokens }) => model === `${name}${outputTokens}`));
});

test('a fault names file, line and remedy', () => {
  const cases: readonly (readonly [rows: string, expected: RegExp])[] = [
    [`${HEADER}\n0,a,1,1\nx,a,1,1\n`, /:3: t_ms is "x"\. Give the time in milliseconds/],
    [`${HEADER}\n-1,a,1,1\n`, /:2: t_ms is "-1"/],
    [`${HEADER}\n9,a,1,1\n\n8,a,1,1\n`, /:4: time goes back, from 9 to 8 ms\. Sort the rows/],
    [`${HEADER}\n0,,1,1\n`, /:2: model is missing/],
    [`${HEADER}\n0,a,1\n`, /:2: output_tokens is missing\. Give a whole number/],
    [`${HEADER}\n0,a,1.5,1\n`, /:2: prompt_tokens is "1\.5"/],
    ['t_ms,model\n', /:1: the header lacks prompt_tokens, output_tokens\. Begin it with the line t_ms,/],
    ['', /:1: the header lacks t_ms, /],
    [`${HEADER}\n`, /:1: there are no requests/],
    [`${HEADER}\n${'x'.repeat(70_000)}`, /:2: a row of more than 65536 bytes/],
  ];
  for (const [index, [text, expected]] of cases.entries()) {
    const file = written(`fault-${index}.csv`, text);
    assert.throws(() => openTrace(file), expected);
  }
  assert.throws(() => openTrace(path.join(directory, 'none.csv')), /none\.csv: cannot be read \(ENOENT\)/);
});
