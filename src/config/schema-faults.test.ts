/** Faults of the text and of single values, each at its exact place. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { formatFault } from './fault.ts';
import { type FaultCase, faultsOf, pathOf, testFaultCases, useDirectory } from './fault-fixtures.ts';
import { loadConfig } from './load.ts';

useDirectory();

const CASES: readonly FaultCase[] = [
  {
    name: 'a tab where YAML wants spaces',
    yaml: 'models:\n⟦\tqwen: {repo: x}\n',
    faults: [/not valid YAML: .*[Tt]ab/],
  },
  {
    name: 'an unclosed list',
    yaml: 'models:\n  qwen: {repo: x}\npools: {a: [1\n⟦⟦',
    faults: [/not valid YAML/, /not valid YAML/],
  },
  {
    name: 'a key that stands twice',
    yaml: 'models:\n  qwen:\n    repo: x\n    ⟦repo: y\n',
    faults: ['models.qwen.repo: the key stands twice in this mapping'],
  },
  {
    name: 'a model that stands twice',
    yaml: 'models:\n  qwen: {repo: x}\n  ⟦qwen: {repo: y}\n',
    faults: ['models.qwen: the key stands twice in this mapping'],
  },
  {
    name: 'an alias without its anchor',
    yaml: 'models:\n  qwen: ⟦*nothing\n',
    faults: [/anchor/],
  },
  {
    name: 'a number that is none',
    yaml: 'models:\n  qwen:\n    repo: x\n    max_num_seqs: ⟦.nan\n',
    faults: ['models.qwen.max_num_seqs: neither text, nor a finite number, a boolean or null'],
  },
  {
    name: 'a list as a key',
    yaml: 'models:\n  ⟦[a, b]: {repo: x}\n',
    faults: ['models: a key must be plain text'],
  },
  {
    name: 'a list at the top',
    yaml: '⟦- models\n',
    faults: ['not acceptable; found a list; allowed: a mapping with `models`'],
  },
  {
    name: 'no models',
    yaml: '⟦server: {port: 1}\n',
    faults: ['models: must be given; allowed: a mapping from model name to its keys'],
  },
  { name: 'models without one', yaml: '⟦models: {}\n', faults: ['models: at least one model must be given'] },
  {
    name: 'a misspelt key of a model',
    yaml: 'models:\n  qwen:\n    repo: x\n    ⟦max_num_seq: 3\n',
    faults: [/^models\.qwen\.max_num_seq: unknown key; allowed: repo, .*; did you mean `max_num_seqs`\?$/],
  },
  {
    name: 'a misspelt key with nothing behind it',
    yaml: 'models: {qwen: {repo: x}}\n⟦serverr:\n',
    faults: [/^serverr: unknown key; .* did you mean `server`\?$/],
  },
  {
    name: 'a key that resembles none',
    yaml: 'models:\n  qwen:\n    repo: x\n    ⟦zzzzzzzzzz: 3\n',
    faults: [/^models\.qwen\.zzzzzzzzzz: unknown key; allowed: repo, [^?]*$/],
  },
  {
    name: 'the wrong kinds of values, all at once',
    yaml: [
      'models:',
      '  qwen:',
      '    repo: ⟦3',
      '    max_num_seqs: ⟦many',
      '    always_on: ⟦maybe',
      '    gpu_memory_utilization: ⟦1.5',
      '    load_timeout: ⟦5 weeks',
      '    memory_mib: ⟦24GB',
      '    extra_args: [ok, ⟦{a: 1}]',
      '    environment: {⟦a b: c}',
      '    request_defaults: ⟦[]',
      '',
    ].join('\n'),
    faults: [
      'models.qwen.repo: not acceptable; found 3; allowed: a Hugging Face id, a local path or a GGUF',
      'models.qwen.max_num_seqs: not acceptable; found "many"; allowed: an integer from 1 to 65536',
      'models.qwen.always_on: not acceptable; found "maybe"; allowed: true or false',
      'models.qwen.gpu_memory_utilization: not acceptable; found 1.5; allowed: a number above 0, at most 1',
      'models.qwen.load_timeout: not acceptable; found "5 weeks"; allowed: seconds as a number (more than 0), or text such as "500ms", "90s", "5m", "1h"',
      'models.qwen.memory_mib: not acceptable; found "24GB"; allowed: MiB as a number above 0, or text such as "512MiB", "24GiB", "1.5TiB"',
      'models.qwen.extra_args[1]: not acceptable; found a mapping; allowed: text or a number',
      'models.qwen.environment["a b"]: the key is not acceptable; allowed: variable names',
      'models.qwen.request_defaults: not acceptable; found an empty list; allowed: a mapping',
    ],
  },
  {
    name: 'durations and sizes out of range',
    yaml: [
      'models:',
      '  a: {repo: x, load_timeout: ⟦0s, queue_timeout: ⟦0, drain_timeout: ⟦999999d, inactivity_timeout: 0}',
      '  b: {repo: x, memory_mib: ⟦0GiB}',
      '  c: {repo: x, memory_mib: ⟦-5}',
      '',
    ].join('\n'),
    faults: [
      /^models\.a\.load_timeout: not acceptable; found "0s"/,
      /^models\.a\.queue_timeout: not acceptable; found 0/,
      /^models\.a\.drain_timeout: not acceptable; found "999999d"/,
      /^models\.b\.memory_mib: not acceptable; found "0GiB"/,
      /^models\.c\.memory_mib: not acceptable; found -5/,
    ],
  },
  {
    name: 'a misspelt choice',
    yaml: 'models: {qwen: {repo: x, memory_mib: 1}}\nscheduling:\n  placement_mode: ⟦budgett\n',
    faults: [
      'scheduling.placement_mode: not acceptable; found "budgett"; allowed: one of whole_card, budget; did you mean `budget`?',
    ],
  },
  {
    name: 'a model that is no mapping',
    yaml: 'models:\n  qwen: ⟦Qwen/Qwen2.5\n',
    faults: [
      'models.qwen: not acceptable; found "Qwen/Qwen2.5"; allowed: a mapping with `repo`, `command` or `url`',
    ],
  },
  {
    name: 'a model name with white space',
    yaml: 'models:\n  ⟦my model: {repo: x}\n',
    faults: [
      'models["my model"]: the key is not acceptable; allowed: a name of 1 to 256 printable characters without white space',
    ],
  },
  {
    name: 'a fault behind a merge key, reported where the anchor stands',
    yaml: 'defaults: &base\n  max_num_seqs: ⟦⟦0\nmodels:\n  a:\n    <<: *base\n    repo: x\n',
    faults: [
      /^defaults\.max_num_seqs: not acceptable; found 0/,
      /^models\.a\.max_num_seqs: not acceptable; found 0/,
    ],
  },
  {
    name: 'a fault behind an alias, reported where the anchor stands',
    yaml: 'models:\n  a: &m\n    repo: x\n    ⟦⟦pol: p\n  b: *m\n',
    faults: [/^models\.a\.pol: unknown key/, /^models\.b\.pol: unknown key/],
  },
];

testFaultCases(CASES);

test('refuses a file that is missing, empty, a directory or not UTF-8', async () => {
  const missing = await loadConfig({ file: pathOf('none.yaml'), environment: {} });
  assert.ok(!missing.ok);
  assert.match(missing.error.map(formatFault).join(), /none\.yaml: the file does not exist$/);
  const folder = await loadConfig({ file: pathOf('.'), environment: {} });
  assert.ok(!folder.ok);
  assert.match(folder.error.map(formatFault).join(), /the file cannot be read \(EISDIR\)$/);
  const [empty] = await faultsOf('# nothing\n');
  assert.equal(empty?.problem, 'the file is empty');
  const binary = pathOf('binary.yaml');
  await writeFile(binary, Buffer.from([0x6d, 0xff, 0xfe]));
  const notText = await loadConfig({ file: binary, environment: {} });
  assert.ok(!notText.ok);
  assert.equal(notText.error[0]?.problem, 'the file is not UTF-8');
});

test('refuses what grows or nests without end', async () => {
  const bomb = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let level = 1; level < 9; level += 1) {
    bomb.push(`a${level}: &a${level} [${Array.from({ length: 10 }, () => `*a${level - 1}`).join(', ')}]`);
  }
  const [grown] = await faultsOf(bomb.join('\n'));
  assert.equal(grown?.code, 'too_large');
  const [nested] = await faultsOf(`models: ${'['.repeat(200)}${']'.repeat(200)}`);
  assert.equal(nested?.code, 'too_large');
  const [circular] = await faultsOf('models: &m\n  a: *m\n');
  assert.equal(circular?.code, 'too_large');
  const deep = await faultsOf(`models: ${'['.repeat(5_000)}`);
  assert.equal(deep[0]?.problem, 'not valid YAML: it is nested too deeply');
  assert.ok(deep.length <= 21, 'only the first faults help');
  const many = await faultsOf(Array.from({ length: 10_000 }, (_, index) => `key${index}: 1`).join('\n'));
  assert.ok(many.length >= 10_000, 'keys are compared in linear time');
  const [large] = await faultsOf('#'.repeat(5_000_000));
  assert.equal(large?.code, 'too_large');
});
