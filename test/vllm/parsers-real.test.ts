/** The table of parsers against the vLLM that is installed: its registry, and what its parsers ask of a tokenizer. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { modelFixture } from '../../src/engines/engine-fixtures.ts';
import { REASONING_RULES, TOOL_RULES } from '../../src/engines/vllm/parsers.ts';
import { chooseParsers } from '../../src/engines/vllm/parsers-choice.ts';
import { type InstalledParsers, installedParsers } from '../../src/engines/vllm/parsers-registry.ts';
import { ensureRealVllm } from '../../tools/real-vllm/install.ts';
import { ensureModels } from '../../tools/real-vllm/models.ts';
import { runCommand } from '../../tools/real-vllm/run-command.ts';

type Installed = Exclude<Awaited<ReturnType<typeof ensureRealVllm>>, { readonly unavailable: string }>;

let real: Installed | { readonly unavailable: string } = { unavailable: 'it was not looked for' };
before(async () => {
  real = await ensureRealVllm({ onProgress: (line) => console.log(line) });
});

function realTest(
  name: string,
  run: (vllm: Installed, parsers: InstalledParsers) => Promise<void> | void,
): void {
  test(name, async (t) => {
    if ('unavailable' in real) return t.skip(`no real vLLM: ${real.unavailable}`);
    const parsers = installedParsers(real.executable, process.env);
    assert.ok(parsers !== null, `the registry of ${real.executable.join(' ')} is found`);
    await run(real, parsers);
  });
}

realTest('every parser of our table is in the registry', (_, { tool, reasoning }) => {
  for (const { parser } of TOOL_RULES) assert.ok(tool.has(parser), parser);
  for (const { parser } of REASONING_RULES) assert.ok(reasoning.has(parser), parser);
});

realTest('what we read of the registry is what vLLM itself lists', async ({ python }, parsers) => {
  const code = [
    'import json',
    'from vllm.tool_parsers import ToolParserManager as t',
    'from vllm.reasoning import ReasoningParserManager as r',
    'print(json.dumps([sorted(t.list_registered()), sorted(r.list_registered())]))',
  ].join('\n');
  const printed = await runCommand([python, '-c', code], { timeLimitMs: 120_000 });
  const listed: unknown = JSON.parse(printed.trim().split('\n').at(-1) ?? '');
  assert.deepEqual(listed, [[...parsers.tool].sort(), [...parsers.reasoning].sort()]);
});

/** Prints what each parser says to a small tokenizer that has the tokens of its rule and no other of them. */
const MAKE_PARSERS = `
import json, sys
from transformers import AutoTokenizer
from vllm.reasoning import ReasoningParserManager
from vllm.tool_parsers import ToolParserManager
refused = []
for kind, name, tokens in json.loads(sys.argv[2]):
    tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
    tokenizer.add_tokens(tokens)
    try:
        if kind == 'tool':
            ToolParserManager.get_tool_parser(name)(tokenizer)
        else:
            ReasoningParserManager.get_reasoning_parser(name)(tokenizer)
    except Exception as error:
        refused.append(f'{kind} {name}: {error}')
print(json.dumps(refused))
`;

realTest('no parser refuses a tokenizer that has the tokens of its rule', async ({ python }) => {
  const models = await ensureModels(python, { onProgress: (line) => console.log(line) });
  assert.ok(!('unavailable' in models));
  const rules = [
    ...TOOL_RULES.map(({ parser, tokens = [] }) => ['tool', parser, tokens]),
    ...REASONING_RULES.map(({ parser, tokens = [] }) => ['reasoning', parser, tokens]),
  ];
  const words = [python, '-c', MAKE_PARSERS, models.smollm2, JSON.stringify(rules)];
  const printed = await runCommand(words, { timeLimitMs: 120_000 });
  assert.deepEqual(JSON.parse(printed.trim().split('\n').at(-1) ?? ''), []);
});

realTest('a model without tools in its template gets no parser', async ({ python, executable }) => {
  const models = await ensureModels(python, { onProgress: (line) => console.log(line) });
  assert.ok(!('unavailable' in models));
  const vllm = { toolParser: 'auto', reasoningParser: 'auto', executable };
  const { tool } = chooseParsers(modelFixture({ repo: models.smollm2, vllm }), process.env);
  assert.deepEqual(tool, {
    parser: null,
    why: 'auto: none is known for LlamaForCausalLM with its chat template',
  });
});
