/**
 * Which of vLLM's parsers reads a model's tool calls and its reasoning. The name alone of a model says little (fine-tunes
 * change the format, one architecture carries several), so a rule asks for marks in the chat template too, which is what
 * the model was trained to write.
 *
 *  1. The first rule that holds wins; without one there is no parser.
 *  2. A rule names every token without which vLLM refuses its parser: a parser that we chose must not stop an engine from
 *     starting that would start without it.
 */

/** What a rule looks at; `readers/chat-facts.ts` reads it. */
export interface ParserFacts {
  readonly architecture: string;
  readonly template: string;
  readonly addedTokens: ReadonlySet<string>;
}

export interface ParserRule {
  /** As vLLM's registry knows it. */
  readonly parser: string;
  /** Null: any. */
  readonly architecture: RegExp | null;
  /** All of these must stand in the template. */
  readonly marks: readonly string[];
  /** The template's end, where the model is handed the word, must hold one of these. */
  readonly opening?: readonly string[];
  /** All of these must be tokens of their own. */
  readonly tokens?: readonly string[];
}

const THINK_TOKENS = ['<think>', '</think>'];
const GLM = /^(Glm4Moe|GlmMoe|Glm4vMoe)/;

export const TOOL_RULES: readonly ParserRule[] = [
  // These two are encoded by vLLM itself: their templates, if any, do not matter.
  { parser: 'openai', architecture: /^GptOss/, marks: [] },
  { parser: 'deepseek_v32', architecture: /^DeepseekV32/, marks: [] },
  { parser: 'minimax_m2', architecture: /^MiniMaxM2/, marks: ['<minimax:tool_call>'] },
  {
    parser: 'kimi_k2',
    architecture: null,
    marks: ['<|tool_calls_section_begin|>', '<|tool_call_argument_begin|>'],
  },
  { parser: 'glm47', architecture: GLM, marks: ['<tool_call>{function-name}<arg_key>'] },
  { parser: 'glm45', architecture: GLM, marks: ['<tool_call>', '<arg_key>'] },
  { parser: 'seed_oss', architecture: /^SeedOss/, marks: ['<seed:tool_call>', '<function='] },
  { parser: 'qwen3_coder', architecture: /^(Qwen|NemotronH)/, marks: ['<tool_call>', '<function='] },
  { parser: 'granite4', architecture: /^Granite/, marks: ['<tool_call>'] },
  { parser: 'granite', architecture: /^Granite/, marks: ['<|tool_call|>'] },
  { parser: 'gemma4', architecture: /^Gemma4/, marks: ['<|tool_call>'] },
  { parser: 'functiongemma', architecture: /^Gemma3/, marks: ['<start_function_call>'] },
  { parser: 'olmo3', architecture: /^Olmo3/, marks: ['<function_calls>'] },
  { parser: 'apertus', architecture: /^Apertus/, marks: ['<|tools_prefix|>'] },
  { parser: 'longcat', architecture: /^LongcatFlash/, marks: ['<longcat_tool_call>'] },
  {
    parser: 'lfm2',
    architecture: /^Lfm2/,
    marks: ['<|tool_call_start|>'],
    tokens: ['<|tool_call_start|>', '<|tool_call_end|>'],
  },
  {
    parser: 'jamba',
    architecture: /^Jamba/,
    marks: ['<tool_calls>'],
    tokens: ['<tool_calls>', '</tool_calls>'],
  },
  {
    parser: 'mistral',
    architecture: /^(Mistral|Mixtral|Ministral|Pixtral)/,
    marks: ['[TOOL_CALLS]'],
    tokens: ['[TOOL_CALLS]'],
  },
  {
    parser: 'llama3_json',
    architecture: /^(Llama|Mllama)For/,
    marks: ['"parameters": dictionary of argument name'],
    tokens: ['<|python_tag|>'],
  },
  {
    parser: 'deepseek_v3',
    architecture: /^DeepseekV3For/,
    marks: ['<｜tool▁call▁begin｜>', '```json'],
    tokens: ['<｜tool▁calls▁begin｜>', '<｜tool▁calls▁end｜>'],
  },
  {
    parser: 'deepseek_v31',
    architecture: /^DeepseekV3For/,
    marks: ['<｜tool▁call▁begin｜>'],
    tokens: ['<｜tool▁calls▁begin｜>', '<｜tool▁calls▁end｜>'],
  },
  // Last, because several of the formats above begin with the same word.
  {
    parser: 'hermes',
    architecture: /^(Qwen2|Qwen3|Llama|Mistral)/,
    marks: ['<tool_call>', '"name"', '"arguments"'],
  },
];

export const REASONING_RULES: readonly ParserRule[] = [
  { parser: 'openai_gptoss', architecture: /^GptOss/, marks: [] },
  { parser: 'deepseek_v3', architecture: /^DeepseekV32/, marks: [], tokens: THINK_TOKENS },
  { parser: 'minimax_m2', architecture: /^MiniMaxM2/, marks: ['</think>'], tokens: THINK_TOKENS },
  {
    parser: 'kimi_k2',
    architecture: null,
    marks: ['<|tool_calls_section_begin|>', '<think>', '</think>'],
    tokens: THINK_TOKENS,
  },
  { parser: 'glm45', architecture: GLM, marks: [], opening: ['<think>', '</think>'], tokens: THINK_TOKENS },
  {
    parser: 'seed_oss',
    architecture: /^SeedOss/,
    marks: ['<seed:think>'],
    tokens: ['<seed:think>', '</seed:think>'],
  },
  {
    parser: 'nemotron_v3',
    architecture: /^NemotronH/,
    marks: [],
    opening: ['<think>'],
    tokens: THINK_TOKENS,
  },
  { parser: 'granite', architecture: /^Granite/, marks: ['Here is my thought process:'] },
  { parser: 'gemma4', architecture: /^Gemma4/, marks: ['<|channel>'], tokens: ['<|channel>', '<channel|>'] },
  { parser: 'olmo3', architecture: /^Olmo3/, marks: [], opening: ['<think>'] },
  { parser: 'qwen3', architecture: /^Qwen3/, marks: [], opening: ['<think>'], tokens: THINK_TOKENS },
  {
    parser: 'deepseek_v3',
    architecture: /^DeepseekV3For/,
    marks: ['thinking'],
    opening: ['</think>'],
    tokens: THINK_TOKENS,
  },
  // R1, what was distilled from it, and QwQ: they always think.
  {
    parser: 'deepseek_r1',
    architecture: /^(DeepseekV3|Qwen2|Llama)For/,
    marks: [],
    opening: ['<｜Assistant｜><think>', '<|im_start|>assistant\\n<think>'],
    tokens: THINK_TOKENS,
  },
];

/** Architectures whose tool calls vLLM writes and reads without a template. */
const ENCODED_BY_VLLM = /^(GptOss|DeepseekV32)/;

/** A parser makes sense only where the template shows the tools to the model. */
export function toolParserFor(facts: ParserFacts): string | null {
  const takesTools = /\btools\b/.test(facts.template) || ENCODED_BY_VLLM.test(facts.architecture);
  return takesTools ? firstOf(TOOL_RULES, facts) : null;
}

export function reasoningParserFor(facts: ParserFacts): string | null {
  return firstOf(REASONING_RULES, facts);
}

function firstOf(rules: readonly ParserRule[], facts: ParserFacts): string | null {
  const opening = facts.template.slice(Math.max(0, facts.template.lastIndexOf('add_generation_prompt')));
  const found = rules.find(
    (rule) =>
      (rule.architecture?.test(facts.architecture) ?? true) &&
      rule.marks.every((mark) => facts.template.includes(mark)) &&
      (rule.opening?.some((mark) => opening.includes(mark)) ?? true) &&
      (rule.tokens ?? []).every((token) => facts.addedTokens.has(token)),
  );
  return found?.parser ?? null;
}
