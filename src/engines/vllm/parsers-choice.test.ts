import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import type { VllmOptions } from '../../config/resolved-config.ts';
import { modelFixture } from '../engine-fixtures.ts';
import { chooseParsers, type ParserChoices } from './parsers-choice.ts';
import { installedParsers } from './parsers-registry.ts';

const QWEN3 =
  '{%- if tools %}<tool_call>{"name": n, "arguments": a}{%- endif %}{%- if add_generation_prompt %}<think>';
const PACKAGE = 'lib/python3.12/site-packages/vllm';

let directory = '';
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'parsers-'));
  await install('whole', ['hermes', 'xlam'], ['qwen3']);
  await written('cache/hub/models--acme--q/refs/main', 'c0ffee\n');
  const snapshot = 'cache/hub/models--acme--q/snapshots/c0ffee';
  await written(`${snapshot}/config.json`, '{"architectures": ["Qwen3ForCausalLM"]}');
  const tokens = { 1: { content: '<think>' }, 2: { content: '</think>' } };
  await written(
    `${snapshot}/tokenizer_config.json`,
    JSON.stringify({ added_tokens_decoder: tokens, chat_template: [{ name: 'default', template: QWEN3 }] }),
  );
});
after(() => rm(directory, { recursive: true }));

async function written(name: string, text: string): Promise<string> {
  const file = join(directory, name);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  return file;
}

/** The form of vLLM's own tables. */
function table(names: readonly string[]): string {
  const entries = names.map(
    (name) => `    "${name}": (  # a name\n        "file",\n        "Class",\n    ),\n`,
  );
  return `_TO_REGISTER = {\n${entries.join('')}}\n`;
}

async function install(name: string, tool: readonly string[], reasoning: readonly string[]): Promise<void> {
  await written(`${name}/bin/vllm`, `#!${join(directory, name)}/bin/python\n`);
  await written(`${name}/${PACKAGE}/tool_parsers/__init__.py`, table(tool));
  await written(`${name}/${PACKAGE}/reasoning/__init__.py`, table(reasoning));
}

function choose(vllm: Partial<VllmOptions>, more: { repo?: string } = {}, sharesHost = true): ParserChoices {
  const model = modelFixture({
    repo: 'acme/q',
    ...more,
    vllm: { toolParser: 'auto', reasoningParser: 'auto', executable: ['vllm'], ...vllm },
    environment: { HF_HOME: join(directory, 'cache') },
  });
  return chooseParsers(model, { PATH: `/nowhere:${join(directory, 'whole/bin')}` }, sharesHost);
}

test('auto takes what fits a model of the cache and is installed', () => {
  const why = 'auto: Qwen3ForCausalLM';
  assert.deepEqual(choose({}), { tool: { parser: 'hermes', why }, reasoning: { parser: 'qwen3', why } });
});

test('a name is taken as it is, and off is off, whatever the files say', () => {
  assert.deepEqual(choose({ toolParser: 'mine', reasoningParser: 'off' }, { repo: 'acme/unknown' }), {
    tool: { parser: 'mine', why: 'configured' },
    reasoning: { parser: null, why: 'off' },
  });
  assert.equal(choose({ toolParser: 'off' }).reasoning.parser, 'qwen3');
});

test('auto gives no flag for a model that is not here, and none that the vLLM has not or does not tell', async () => {
  assert.match(choose({}, { repo: 'acme/other' }).tool.why, /not on this machine/);
  await install('older', ['xlam'], ['qwen3']);
  const older = choose({ executable: [join(directory, 'older/bin/vllm')] });
  assert.deepEqual(older.tool, {
    parser: null,
    why: 'auto: `hermes` fits, but this vLLM does not have it',
  });
  assert.equal(older.reasoning.parser, 'qwen3');
  assert.match(choose({ executable: ['docker', 'run'] }).tool.why, /cannot be asked/);
});

test('a vLLM of an image has what every recent one has, whatever is installed here', async () => {
  await install('poor', ['none'], ['none']);
  const executable = [join(directory, 'poor/bin/vllm')];
  const why = 'auto: Qwen3ForCausalLM';
  assert.deepEqual(choose({ executable }, {}, false), {
    tool: { parser: 'hermes', why },
    reasoning: { parser: 'qwen3', why },
  });
  await written('new/config.json', '{"architectures": ["Gemma4ForCausalLM"]}');
  await written('new/chat_template.jinja', '{{ tools }}<|tool_call>');
  const { tool } = choose({}, { repo: join(directory, 'new') }, false);
  assert.deepEqual(tool, {
    parser: null,
    why: 'auto: `gemma4` fits, but not every vLLM has it; name it to use it',
  });
});

test('a revision and a chat template in extra_args are the ones that are looked at', async () => {
  assert.match(choose({ extraArgs: ['--revision', 'v2'] }).tool.why, /not on this machine/);
  assert.match(choose({ extraArgs: ['--revision=../../..'] }).tool.why, /not on this machine/);
  const plain = await written('plain.jinja', '{{ messages }}');
  assert.equal(choose({ extraArgs: [`--chat_template=${plain}`] }).tool.parser, null);
});

test('a directory is read with its own template file and the head of its tokenizer', async () => {
  await written('local/config.json', '{"architectures": ["Qwen3ForCausalLM"]}');
  await written('local/chat_template.jinja', QWEN3);
  await written(
    'local/tokenizer.json',
    '{"added_tokens":[{"id":1,"content":"<think>"},{"content":"</think>"}],"mod',
  );
  const { tool, reasoning } = choose({}, { repo: join(directory, 'local') });
  assert.deepEqual([tool.parser, reasoning.parser], ['hermes', 'qwen3']);
});

test('an installation is found by a link, by its Python, and by the Python of its first line', async () => {
  const known = (executable: readonly string[]) =>
    installedParsers(executable, { PATH: '' })?.tool.has('xlam') ?? false;
  const python = await written('whole/bin/python', '');
  await mkdir(join(directory, 'links'), { recursive: true });
  await symlink(join(directory, 'whole/bin/vllm'), join(directory, 'links/vllm'));
  const wrapper = await written('elsewhere/vllm', `#!${python}\nimport vllm\n`);
  for (const program of [python, join(directory, 'links/vllm'), wrapper])
    assert.ok(known([program]), program);
  assert.ok(!known(['vllm']));
  assert.ok(!known([]));
  assert.ok(!known([await written('empty/bin/vllm', '')]));
});
