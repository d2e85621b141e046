/**
 * What one model may say. `defaults` takes the same keys without those that name a single model, so every rule about a
 * key stands here once.
 */
import * as z from 'zod';
import { allowing, builtInOf, field, requiredField } from './field.ts';
import {
  duration,
  flag,
  fraction,
  imageName,
  integer,
  jsonObject,
  oneOf,
  size,
  text,
  textMatching,
  wordList,
  wordMap,
} from './leaf.ts';

const TENSOR_PARALLEL_MAX = 64;

/** RFC 9110: names are tokens, and values visible characters, blanks and tabs. */
const headerValue = /^[\t -~\u00a1-\u00ff]*$/;
const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const adapterName = /^[^\s=]+$/;
const variableName = /^[A-Za-z_][A-Za-z0-9_]*$/;

const urlText = () =>
  textMatching(
    /^https?:\/\/[^\s/?#@]+(\/[^\s?#]*)?$/,
    'a URL as http://host:port or https://host/path, without user, query and fragment',
  );

const urlObject = z.strictObject(
  {
    base: requiredField(urlText(), {
      effect: 'Address of the server. A closing `/v1` is taken off: request paths bring their own.',
    }),
    api_key_env: field(textMatching(variableName, 'the name of an environment variable'), {
      effect:
        "Environment variable that holds the server's API key, sent as `Authorization: Bearer`. It must be set when the gateway starts.",
    }),
    api_key_file: field(text('the path of a file'), {
      effect:
        "File that holds the server's API key (surrounding white space is taken off); relative to the configuration file.",
    }),
    headers: field(wordMap(headerName, 'header names', headerValue), {
      effect: 'Headers added to every request to this server.',
      danger: 'Values stand in the file in clear text; use `api_key_env` or `api_key_file` for keys.',
    }),
    health: field(textMatching(/^\/\S*$/, 'a path that begins with /'), {
      effect: 'Path that answers 200 while the server is well.',
      default: '/v1/models',
    }),
  },
  { error: 'a URL or a mapping with `base`' },
);

export const urlBuiltIn = builtInOf(urlObject.pick({ health: true }));

const url = () =>
  allowing(
    z.union([urlText(), urlObject], { error: 'a URL or a mapping with `base`' }),
    'a URL or a mapping with `base`',
  );

/** Keys that `defaults` and models share. */
const sharedFields = {
  engine: field(oneOf(['vllm', 'simulated', 'openai']), {
    effect:
      'What kind of server runs the model: `vllm`, `simulated` (vllm-sim, for trying and testing), or `openai` (any OpenAI-compatible server by `command` or `url`).',
    otherwise: '`vllm` with `repo`, `openai` with `command` or `url`',
  }),
  pool: field(text('the name of a pool'), {
    effect: 'Pool of devices where the model may be placed.',
    otherwise: 'the only pool; every device where no pools are configured',
  }),
  memory_mib: field(size(), {
    effect:
      'Memory that the model reserves on each of its devices. Models whose sums fit stay loaded side by side.',
    otherwise:
      "budget mode and `colocate`: computed from the model's files, and measured from the first launch on; otherwise the whole budget of the device, so the model has its devices to itself",
    unit: 'MiB',
    danger: 'Too little and the engine runs out of memory at its start or takes room that others count on.',
  }),
  gpu_memory_utilization: field(fraction(0, 1), {
    effect:
      "The engine's share of the card where the model has the card to itself (`--gpu-memory-utilization`), which is whole_card mode without `memory_mib` and `colocate`, and in either mode the first, measuring launch of a model that cannot be computed. Elsewhere the share follows from what is reserved.",
    default: 0.9,
    unit: 'share of the card',
    danger: 'vLLM compares it with the free memory at its start: a share above what is free fails the start.',
    environment: ['VLLM_GPU_MEMORY_UTILIZATION'],
  }),
  max_model_len: field(integer(0, 100_000_000), {
    effect:
      "Longest context. 0 takes the model's own; budget mode requires a value above 0 unless `memory_mib` is given.",
    default: 0,
    unit: 'tokens',
    environment: ['VLLM_MAX_MODEL_LEN_GLOBAL'],
  }),
  max_num_seqs: field(integer(1, 65_536), {
    effect: "Sequences that the engine's scheduler runs at once.",
    default: 16,
    environment: ['VLLM_MAX_NUM_SEQS'],
  }),
  kv_reservation_seqs: field(integer(1, 65_536), {
    effect: 'Sequences of full length to reserve KV cache for in budget mode, from 1 to `max_num_seqs`.',
    otherwise: '`max_num_seqs`',
  }),
  tensor_parallel_size: field(integer(1, TENSOR_PARALLEL_MAX), {
    effect: 'Devices that one engine spreads over, all of one pool.',
    default: 1,
    environment: ['VLLM_TENSOR_PARALLEL_SIZE'],
  }),
  quantization: field(text().nullable(), {
    effect: 'Quantization method, passed on when set (`--quantization`).',
    otherwise: "the engine's own choice",
  }),
  dtype: field(text().nullable(), {
    effect: 'Data type of weights and activations, passed on when set (`--dtype`).',
    otherwise: '`auto`',
  }),
  enforce_eager: field(flag(), {
    effect: 'Starts the engine without compilation and graphs: quicker to start, slower to answer.',
    default: false,
    environment: ['VLLM_ENFORCE_EAGER'],
  }),
  tool_parser: field(text('`auto`, `off`, or the name of a parser'), {
    effect:
      "Who reads tool calls out of the model's answers (`--enable-auto-tool-choice --tool-call-parser`): `auto` chooses by the architecture and chat template of files that are on this machine, and only what the installed vLLM has; `off` chooses none; anything else is the name of one of vLLM's parsers.",
    default: 'auto',
    danger: 'vLLM does not start with a name that it does not know.',
  }),
  reasoning_parser: field(text('`auto`, `off`, or the name of a parser'), {
    effect:
      "Who takes reasoning out of the model's answers (`--reasoning-parser`): `auto`, `off` or a name, as for `tool_parser`. Reasoning then stands in a field of its own instead of in `content`.",
    default: 'auto',
    danger: 'vLLM does not start with a name that it does not know.',
  }),
  inactivity_timeout: field(duration({ zero: true }), {
    effect: 'An engine without requests for this long is stopped. 0: never.',
    default: 1800,
    unit: 's',
    environment: ['VLLM_INACTIVITY_TIMEOUT'],
  }),
  always_on: field(flag(), {
    effect: 'Loaded at the start and never stopped for idleness or for another model.',
    default: false,
    danger: 'Its devices are lost to every model that does not fit beside it.',
  }),
  colocate: field(flag(), {
    effect:
      'whole_card mode: the model may share its card with other such models, never with a whole-card model, and not with tensor parallelism. What it takes is computed from its files unless `memory_mib` says so. No effect in budget mode, where all models share.',
    default: false,
  }),
  extra_args: field(wordList({ least: 0 }), {
    effect:
      'Arguments appended verbatim to the engine; they override generated ones. Model, address, utilisation and tensor parallel flags belong to the gateway; in budget mode, and with `colocate`, memory flags do too.',
    default: [],
    danger: 'Nothing checks them but the engine itself.',
  }),
  request_defaults: field(jsonObject(), {
    effect: "Merged (shallow) under each request's body; what the client sends wins. May not set `model`.",
    default: {},
  }),
  environment: field(wordMap(variableName, 'variable names'), {
    effect:
      "Variables for the engine's process, added to the few it gets anyway; those of `defaults` and of the model are merged, the model's win.",
    default: {},
    danger: 'Values stand in the file in clear text.',
  }),
  load_timeout: field(duration(), {
    effect: 'An engine that is not ready this long after its launch is ended and counts as failed.',
    default: 3900,
    unit: 's',
    danger: 'Without `fetch`, and shorter than the first download of the weights, the model never starts.',
    environment: ['GATEWAY_LOADING_TIMEOUT'],
  }),
  fetch: field(flag(), {
    effect:
      "Brings the model's files into the Hugging Face cache before the engine starts, while no device is held. `false`: the engine fetches for itself, within its `load_timeout`. A simulated model has nothing to fetch unless it says `true` itself.",
    default: true,
  }),
  download_timeout: field(duration(), {
    effect: 'Longest fetch, all files together; the next request goes on where it stopped.',
    default: 21_600,
    unit: 's',
  }),
  image: field(imageName(), {
    effect: "Image of the model's engine, where engines run in containers. A `command` needs one there.",
    otherwise: '`runtime.docker.image`',
  }),
  drain_timeout: field(duration(), {
    effect:
      'How long running requests may go on when the engine has to give way; then `on_drain_timeout` decides.',
    default: 120,
    unit: 's',
  }),
  on_drain_timeout: field(oneOf(['cut', 'wait']), {
    effect:
      'What happens at the end of `drain_timeout`: `cut` ends the requests that still run, `wait` lets them finish.',
    default: 'cut',
    danger:
      'With `wait` the model keeps its devices as long as requests run: nothing bounds the waiting of other models for these devices any more.',
  }),
  sleep: field(oneOf(['auto', 'off', 'level_2']), {
    effect:
      'What an engine that can sleep does instead of being stopped when it has to make room. `auto`: it keeps its weights in host memory where there is room for them (level 1 of vLLM), and is stopped otherwise. `level_2`: it discards them and reads them again from disk on waking, and needs hardly any host memory. `off`: it is always stopped.',
    default: 'auto',
    danger: 'A sleeping engine keeps some memory of its devices, which is counted.',
  }),
  warm_up: field(flag(), {
    effect:
      'After waking the engine generates one token before clients are let in, so that the first of them does not pay for it.',
    default: true,
  }),
  queue_timeout: field(duration(), {
    effect:
      'Longest wait of a request for its turn, loading included; then it is refused with 503. A request may bring its own with `X-Queue-Timeout`.',
    default: 1800,
    unit: 's',
  }),
  progress: field(oneOf(['off', 'comments', 'reasoning']), {
    effect:
      'What streams are told while they wait. `comments`: after `progress_after` an early 200 and comment frames, which clients skip. `reasoning`: streams of /v1/chat/completions get the same as reasoning text, which chat UIs show, others as comments. `off`: nothing before the engine has answered. A request may choose for itself with `X-Progress`.',
    default: 'off',
    danger: 'After an early 200 a failure can only be told within the stream, and SDKs do not retry it.',
  }),
  progress_after: field(duration(), {
    effect: 'How long a stream waits before it is told of its progress, so that quick wakes stay clean.',
    default: 5,
    unit: 's',
  }),
  first_byte_timeout: field(duration(), {
    effect:
      "Longest time from the last byte of a request until the first of the body of the engine's answer; then 504, or an error frame where the head has gone out. Heads and informational answers count for nothing, comments of a stream do.",
    otherwise: '`server.engine_timeout`',
    unit: 's',
    danger: 'Answers without streaming have no first byte before they are complete.',
  }),
  stream_idle_timeout: field(duration(), {
    effect:
      "Longest silence within the body of an engine's answer; then the answer is broken off: a stream with an error frame (`engine_timeout`), anything else so that the transfer is seen as broken. Comments count as bytes, and a client that takes nothing is not the engine's silence.",
    otherwise: '`server.engine_timeout`',
    unit: 's',
  }),
  ws_idle_timeout: field(duration(), {
    effect:
      'A WebSocket over which no data passed for this long (pings do not count) holds its engine no more: it is closed (1012) when the engine gives way.',
    default: 60,
    unit: 's',
  }),
  responses_store: field(flag(), {
    effect:
      'The engine keeps responses (VLLM_ENABLE_RESPONSES_API_STORE), so that they can be retrieved, cancelled, continued, and made in the background.',
    default: false,
    danger:
      'vLLM never forgets what it stores: its memory grows. What is stored is lost when the engine stops.',
  }),
  background_timeout: field(duration(), {
    effect: 'Longest time for which a background response holds its engine; then it is cancelled.',
    default: 1800,
    unit: 's',
  }),
  max_concurrent: field(integer(1, 100_000), {
    effect: 'Requests that run at once on the model; the connection pool is sized by it.',
    default: 50,
    environment: ['GATEWAY_MAX_CONCURRENT'],
  }),
  queue_size: field(integer(1, 1_000_000), {
    effect: 'Requests that may wait, beside the `max_concurrent` that run; the next one is refused with 429.',
    default: 200,
    environment: ['GATEWAY_MAX_QUEUE_SIZE'],
  }),
  min_residence: field(duration({ zero: true }), {
    effect: 'A loaded model keeps its devices at least this long.',
    otherwise: '`scheduling.min_residence`',
    unit: 's',
    danger: 'Everybody else waits that long.',
  }),
  vllm_executable: field(wordList({ least: 1 }), {
    effect: 'The program (and its first arguments) that runs vLLM.',
    otherwise: '`[vllm]`; simulated models always run the vllm-sim of the gateway',
  }),
};

/** Keys that name one model. */
const ownFields = {
  repo: field(text('a Hugging Face id, a local path or a GGUF'), {
    effect:
      'Hugging Face id, local path, or GGUF (`repo/file.gguf`, a URL, or a local file). One repo may stand under several names.',
    otherwise: "required without `command` and `url`; a simulated model's own name",
  }),
  command: field(wordList({ least: 1 }), {
    effect:
      'argv of any OpenAI-compatible server, run without a shell. `{port}` (with `{host}`) or `{socket}` stands for where it must listen, `{name}` for the name that it must serve. The gateway adds no flags to it and never puts it to sleep: keys for these beside it are faults.',
    danger: 'It must stay in the foreground and end with its process group.',
  }),
  url: field(url(), {
    effect:
      'A server that the gateway does not manage; it takes no device and no turn. A URL, or a mapping with `base`.',
  }),
  adapters: field(wordMap(adapterName, 'names of adapters'), {
    effect:
      'LoRA adapters of the model: name and path (or Hugging Face id). Each is a model name of its own for clients, served by the same engine (`--enable-lora --lora-modules`). With `command` and `url` the server must know these names itself, and the paths are not read.',
    default: {},
  }),
  served_name: field(text(), {
    effect: 'Name that the server behind knows the model by, where it is another one.',
    otherwise: 'the name of the model',
    danger: 'Requests of a model with another served name are rewritten, which costs a little on each.',
  }),
};

export const defaultsSchema = z.strictObject(sharedFields, { error: 'a mapping of model keys' });
export const modelSchema = z.strictObject(
  { ...ownFields, ...sharedFields },
  { error: 'a mapping with `repo`, `command` or `url`' },
);
export const urlSchema = urlObject;

export type RawModel = z.output<typeof modelSchema>;

export const modelBuiltIn = builtInOf(
  defaultsSchema.omit({
    engine: true,
    pool: true,
    memory_mib: true,
    kv_reservation_seqs: true,
    quantization: true,
    dtype: true,
    min_residence: true,
    first_byte_timeout: true,
    stream_idle_timeout: true,
    vllm_executable: true,
    image: true,
  }),
);
