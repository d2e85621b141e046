import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lastUsefulLine, readLine, scrubSecrets } from './output-lines.ts';

test('a prefix is taken off in all its forms, and a line without one stays', () => {
  const cases: readonly (readonly [string, string | null, string])[] = [
    ['(EngineCore pid=17) ERROR 11-24 08:00:00 [core.py:12] boom', 'ERROR', 'boom'],
    ['(Worker_TP0 pid=17)   File "x.py", line 1', null, 'File "x.py", line 1'],
    ['INFO:     Started server process [7]', 'INFO', 'Started server process [7]'],
    ['WARNING 2026-11-24 08:00:00,123 [a/b.py:9] hm', 'WARNING', 'hm'],
    ['\u001b[1;36m(APIServer pid=1)\u001b[0;0m INFO 11-24 08:00:00 [a.py:1] x', 'INFO', 'x'],
    ['(not a prefix) text', null, '(not a prefix) text'],
    ['plain', null, 'plain'],
  ];
  for (const [line, level, text] of cases) assert.deepEqual(readLine(line), { level, text }, line);
});

test('the last useful line is an exception, then an error, then anything that is no decoration', () => {
  assert.equal(lastUsefulLine(['ValueError: bad', 'ERROR late', 'INFO: bye']), 'ValueError: bad');
  assert.equal(
    lastUsefulLine(['INFO: hello', 'server: error: bad port', 'INFO: bye']),
    'server: error: bad port',
  );
  assert.equal(
    lastUsefulLine(['hello', '  50%|###  | 1/2 [00:01<00:01]', '    at frame', '', '^^^^']),
    'hello',
  );
  assert.equal(lastUsefulLine(['Traceback (most recent call last):', '  50%|#| 1/2']), '');
  assert.equal(lastUsefulLine([]), '');
});

for (const [text, scrubbed] of [
  ['token hf_abcdefgh12 here', 'token hf_*** here'],
  ['--api-key abc --port 1', '--api-key *** --port 1'],
  ['--api-key=abc', '--api-key=***'],
  ["{'api_key': ['abc', 'def'], 'port': 1}", "{'api_key': ***, 'port': 1}"],
  ['"hf_token": "abc"', '"hf_token": ***'],
  ['Authorization: Bearer abc.def', 'Authorization: Bearer ***'],
  ['authorization: Basic dXNlcjpwYXNz=', 'authorization: Basic ***'],
  ['sk-abcdefghijkl', '***'],
  ['http://user:secret@proxy:80/', 'http://***@proxy:80/'],
  ['39,120 tokens and a basic idea', '39,120 tokens and a basic idea'],
  ['http://localhost:80/path', 'http://localhost:80/path'],
] as const) {
  test(`scrubbing: ${text}`, () => assert.equal(scrubSecrets(text), scrubbed));
}
