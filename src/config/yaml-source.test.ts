import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatFault, formatOrigin } from './fault.ts';
import { readYaml } from './yaml-source.ts';

function read(text: string) {
  const result = readYaml(text, 'm.yaml');
  assert.ok(result.ok, result.ok ? '' : result.error.map(formatFault).join('\n'));
  return result.value;
}

test('merge keys follow YAML: own keys win, then earlier mappings', () => {
  const source = read(
    'a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  <<: [*a, *b]\n  x: 3\nd: {<<: *b, z: 4}\ne: {"<<": plain}\n',
  );
  assert.deepEqual(source.value, {
    a: { x: 1, y: 1 },
    b: { y: 2, z: 2 },
    c: { x: 3, y: 1, z: 2 },
    d: { z: 4, y: 2 },
    e: { '<<': 'plain' },
  });
});

test('positions lead through anchors, aliases, merges and lists', () => {
  const source = read('base: &base\n  deep: [1, {k: v}]\nuse:\n  <<: *base\n  own: 1\nwhole: *base\n');
  const at = (path: (string | number)[], what: 'key' | 'value') => formatOrigin(source.originOf(path, what));
  assert.equal(at(['base', 'deep', 1, 'k'], 'key'), 'm.yaml:2:14');
  assert.equal(at(['base', 'deep', 1, 'k'], 'value'), 'm.yaml:2:17');
  assert.equal(at(['use', 'deep', 1, 'k'], 'value'), 'm.yaml:2:17');
  assert.equal(at(['use', 'own'], 'key'), 'm.yaml:5:3');
  assert.equal(at(['whole'], 'key'), 'm.yaml:6:1');
  assert.equal(at(['whole', 'deep'], 'key'), 'm.yaml:2:3');
  assert.equal(
    at(['use', 'missing', 'more'], 'value'),
    'm.yaml:3:1',
    'what is missing is reported at the mapping around it',
  );
  assert.equal(at(['nowhere'], 'value'), 'm.yaml:1:1');
});

test('keys that are numbers or booleans are read as their text', () => {
  assert.deepEqual(read('7: a\n1.0: b\ntrue: c\n').value, { '7': 'a', '1.0': 'b', true: 'c' });
});

test('__proto__ is refused as a key', () => {
  const result = readYaml('models: {__proto__: {repo: x}}', 'm.yaml');
  assert.ok(!result.ok);
  assert.equal(result.error.map(formatFault).join(), 'm.yaml:1:10: models: `__proto__` cannot be a key');
});

test('several documents and unknown tags are refused', () => {
  for (const text of ['a: 1\n---\nb: 2\n', 'a: !!python/object x\n'])
    assert.ok(!readYaml(text, 'm.yaml').ok, text);
});

test('JSON is read as JSON.parse reads it', () => {
  // Unique keys and finite numbers are what JSON.parse does not ask for; fast-check's values have both.
  const json = fc
    .jsonValue({ noUnicodeString: false })
    .filter((value) => !JSON.stringify(value).includes('__proto__'));
  fc.assert(
    fc.property(json, (value) => {
      const text = JSON.stringify({ value });
      assert.deepEqual(read(text).value, JSON.parse(text));
    }),
    { numRuns: 300 },
  );
});

const fragment = fc.constantFrom(
  ...[
    'models',
    'qwen',
    'repo',
    ': ',
    ':\n  ',
    '\n',
    '  ',
    '- ',
    '[',
    ']',
    '{',
    '}',
    ', ',
    '&a ',
    '*a',
    '<<',
    '"',
    "'",
    '|\n',
    '>-\n',
  ],
  ...[
    '#',
    '!!str ',
    '!x ',
    '---\n',
    '...\n',
    '? ',
    '%YAML 1.1\n',
    '\t',
    '.inf',
    '0x1f',
    '~',
    '\u0000',
    '\ufeff',
    '\ud800',
    'ä',
    '@',
    '`',
  ],
);

test('any text gives data or faults with a place, never a throw', () => {
  const text = fc.oneof(
    fc.array(fragment, { maxLength: 40 }).map((parts) => parts.join('')),
    fc.string({ unit: 'binary' }),
  );
  fc.assert(
    fc.property(text, (yaml) => {
      const result = readYaml(yaml, 'm.yaml');
      if (result.ok) {
        JSON.stringify(result.value.value);
        return;
      }
      assert.ok(result.error.length > 0);
      for (const one of result.error) assert.match(formatFault(one), /^m\.yaml(:\d+:\d+)?: ./);
    }),
    { numRuns: 2000 },
  );
});
