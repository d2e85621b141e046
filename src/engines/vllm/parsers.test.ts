import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ParserFacts, reasoningParserFor, toolParserFor } from './parsers.ts';

const HANDED = '{%- if add_generation_prompt %}';
const TOOLS = '{%- if tools %}{{ tools | tojson }}{%- endif %}';
const HERMES = '<tool_call>\\n{"name": <function-name>, "arguments": <args-json-object>}\\n</tool_call>';
const THINK = ['<think>', '</think>'];
const DEEPSEEK = ['<｜tool▁calls▁begin｜>', '<｜tool▁calls▁end｜>', ...THINK];

/** Excerpts in the form of the published templates: what stands in them decides, not the model's name. */
const MODELS: readonly (readonly [
  name: string,
  architecture: string,
  template: string,
  tokens: readonly string[],
  tool: string | null,
  reasoning: string | null,
])[] = [
  ['Qwen2.5', 'Qwen2ForCausalLM', `${TOOLS}${HERMES}${HANDED}<|im_start|>assistant\\n`, [], 'hermes', null],
  [
    'Qwen3, which may think',
    'Qwen3ForCausalLM',
    `${TOOLS}${HERMES}${HANDED}{%- if enable_thinking is false %}<think>\\n\\n</think>{%- endif %}`,
    THINK,
    'hermes',
    'qwen3',
  ],
  [
    'Qwen3-Instruct, which only drops what others thought',
    'Qwen3MoeForCausalLM',
    `${TOOLS}${HERMES}{{ content.split('</think>')[-1] }}${HANDED}<|im_start|>assistant\\n`,
    THINK,
    'hermes',
    null,
  ],
  [
    'Qwen3-Coder',
    'Qwen3MoeForCausalLM',
    `${TOOLS}<tool_call>\\n<function=example>\\n<parameter=a>${HANDED}`,
    THINK,
    'qwen3_coder',
    null,
  ],
  [
    'QwQ',
    'Qwen2ForCausalLM',
    `${TOOLS}${HERMES}${HANDED}<|im_start|>assistant\\n<think>\\n`,
    THINK,
    'hermes',
    'deepseek_r1',
  ],
  [
    'a distilled R1, which is shown no tools',
    'LlamaForCausalLM',
    `<｜tool▁call▁begin｜>{{ message['tool_calls'] }}${HANDED}<｜Assistant｜><think>\\n`,
    THINK,
    null,
    'deepseek_r1',
  ],
  [
    'DeepSeek V3 with a template for tools',
    'DeepseekV3ForCausalLM',
    `${TOOLS}<｜tool▁call▁begin｜>function<｜tool▁sep｜>name\\n\`\`\`json${HANDED}<｜Assistant｜>`,
    DEEPSEEK,
    'deepseek_v3',
    null,
  ],
  [
    'DeepSeek V3.1 with a template for tools',
    'DeepseekV3ForCausalLM',
    `${TOOLS}{%- set thinking = false %}<｜tool▁call▁begin｜>name<｜tool▁sep｜>${HANDED}{%- if not thinking %}</think>`,
    DEEPSEEK,
    'deepseek_v31',
    'deepseek_v3',
  ],
  ['DeepSeek V3.2, without a template', 'DeepseekV32ForCausalLM', '', THINK, 'deepseek_v32', 'deepseek_v3'],
  [
    'Kimi K2 Thinking',
    'DeepseekV3ForCausalLM',
    `${TOOLS}<|tool_calls_section_begin|><|tool_call_argument_begin|><think></think>${HANDED}`,
    THINK,
    'kimi_k2',
    'kimi_k2',
  ],
  [
    'GLM 4.6',
    'Glm4MoeForCausalLM',
    `${TOOLS}<tool_call>{function-name}\\n<arg_key>{arg-key-1}</arg_key>${HANDED}<think></think>`,
    THINK,
    'glm45',
    'glm45',
  ],
  [
    'GLM 4.7',
    'Glm4MoeForCausalLM',
    `${TOOLS}<tool_call>{function-name}<arg_key>{arg-key-1}</arg_key>${HANDED}<think>`,
    THINK,
    'glm47',
    'glm45',
  ],
  [
    'MiniMax M2',
    'MiniMaxM2ForCausalLM',
    `${TOOLS}<minimax:tool_call></think>${HANDED}<think>`,
    THINK,
    'minimax_m2',
    'minimax_m2',
  ],
  [
    'Seed OSS',
    'SeedOssForCausalLM',
    `${TOOLS}<seed:tool_call><function=f><seed:think>${HANDED}`,
    ['<seed:think>', '</seed:think>'],
    'seed_oss',
    'seed_oss',
  ],
  ['gpt-oss', 'GptOssForCausalLM', '<|channel|>', [], 'openai', 'openai_gptoss'],
  [
    'Mistral',
    'MistralForCausalLM',
    `${TOOLS}[AVAILABLE_TOOLS][TOOL_CALLS]`,
    ['[TOOL_CALLS]'],
    'mistral',
    null,
  ],
  [
    'Llama 3.1',
    'LlamaForCausalLM',
    `${TOOLS}{"name": function name, "parameters": dictionary of argument name and its value}.`,
    ['<|python_tag|>'],
    'llama3_json',
    null,
  ],
  [
    'the same template over a vocabulary without the token that vLLM asks for',
    'LlamaForCausalLM',
    `${TOOLS}{"name": function name, "parameters": dictionary of argument name and its value}.`,
    [],
    null,
    null,
  ],
  ['Hermes 3', 'LlamaForCausalLM', `${TOOLS}${HERMES}${HANDED}`, [], 'hermes', null],
  ['Granite 4', 'GraniteMoeHybridForCausalLM', `${TOOLS}${HERMES}`, [], 'granite4', null],
  [
    'Nemotron 3',
    'NemotronHForCausalLM',
    `${TOOLS}<tool_call><function=f>${HANDED}<think>`,
    THINK,
    'qwen3_coder',
    'nemotron_v3',
  ],
  [
    'a fine-tune that thinks in plain text, where vLLM would refuse the parser',
    'Qwen3ForCausalLM',
    `${HANDED}<think>`,
    [],
    null,
    null,
  ],
  ['a chat model without tools', 'LlamaForCausalLM', `{{ messages }}${HANDED}`, [], null, null],
  ['an embedding model', 'BertModel', '', [], null, null],
];

for (const [name, architecture, template, tokens, tool, reasoning] of MODELS) {
  test(`${name}: tools ${tool ?? 'none'}, reasoning ${reasoning ?? 'none'}`, () => {
    const facts: ParserFacts = { architecture, template, addedTokens: new Set(tokens) };
    assert.equal(toolParserFor(facts), tool);
    assert.equal(reasoningParserFor(facts), reasoning);
  });
}
