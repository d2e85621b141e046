/**
 * A model of any name without weights: vLLM fills it with random numbers under `--load-format dummy`. Good for many
 * distinct small engines; what it writes is noise, byte by byte.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const contextTokens = 2048;
const specialTokens = ['<|pad|>', '<|begin|>', '<|end|>', '<|turn|>'] as const;

const config = {
  model_type: 'llama',
  hidden_size: 256,
  intermediate_size: 512,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 64,
  vocab_size: 256 + specialTokens.length,
  max_position_embeddings: contextTokens,
  rms_norm_eps: 1e-5,
  hidden_act: 'silu',
  tie_word_embeddings: true,
  pad_token_id: 256,
  bos_token_id: 257,
  eos_token_id: 258,
  dtype: 'bfloat16',
};

const chatTemplate =
  "{% for message in messages %}<|turn|>{{ message['role'] }}\n{{ message['content'] }}\n{% endfor %}" +
  '{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}';

/**
 * The printable character that stands for each byte in a byte-level vocabulary: itself where it is printable, else one
 * of the characters from U+0100 on.
 */
function byteAlphabet(): string[] {
  const isPrintable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : next++));
}

function tokenizer(): unknown {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  const vocabulary = [...byteAlphabet(), ...specialTokens];
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, index) => ({
      id: 256 + index,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
      merges: [],
    },
  };
}

/** Writes the model into `directory`, which is made if need be. Another architecture makes it one that cannot be served. */
export async function writeDummyModel(directory: string, architecture = 'LlamaForCausalLM'): Promise<void> {
  await mkdir(directory, { recursive: true });
  const files = {
    'config.json': { architectures: [architecture], ...config },
    'generation_config.json': { bos_token_id: 257, eos_token_id: 258, pad_token_id: 256 },
    'tokenizer.json': tokenizer(),
    'tokenizer_config.json': {
      tokenizer_class: 'PreTrainedTokenizerFast',
      pad_token: specialTokens[0],
      bos_token: specialTokens[1],
      eos_token: specialTokens[2],
      model_max_length: contextTokens,
      clean_up_tokenization_spaces: false,
      chat_template: chatTemplate,
    },
  };
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(directory, name), `${JSON.stringify(content, null, 1)}\n`);
  }
}
