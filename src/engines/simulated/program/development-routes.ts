/** Routes that only VLLM_SERVER_DEV_MODE=1 (or runtime adapters) opens: sleep, pause, caches, worker calls. */
import type { SimContext } from './context.ts';
import {
  ApiError,
  badRequest,
  type Exchange,
  type JsonObject,
  sendEmpty,
  sendJson,
  sendText,
} from './exchange.ts';
import type { PauseMode } from './generation.ts';
import { get, post, postJson, postText, type Route } from './route.ts';
import {
  isSleeping,
  pauseScheduler,
  reloadWeights,
  resumeScheduler,
  sleep,
  UtilityFailure,
  wakeUp,
} from './sleep.ts';
import { objectOf, validationError } from './validation.ts';

const MODES: readonly PauseMode[] = ['abort', 'wait', 'keep'];

export const DEVELOPMENT_ROUTES: readonly Route[] = [
  post('/sleep', async (context, exchange) => {
    const level = levelOf(exchange);
    await sleep(context, level, modeOf(exchange));
    sendJson(exchange, 200, { status: 'sleeping', level });
  }),
  post('/wake_up', async (context, exchange) => {
    const given = exchange.query.getAll('tags');
    const tags = given.length > 0 ? given : null;
    context.log.api(
      'api_router.py:60',
      `wake up the engine with tags: ${tags === null ? 'None' : JSON.stringify(tags)}`,
    );
    const awake = await wakeUp(context, tags);
    sendJson(exchange, 200, { status: awake ? 'awake' : 'sleeping', tags });
  }),
  get('/is_sleeping', (context, exchange) => sendJson(exchange, 200, { is_sleeping: isSleeping(context) })),
  post('/pause', async (context, exchange) => {
    await pauseScheduler(context, modeOf(exchange));
    sendJson(exchange, 200, { status: 'paused' });
  }),
  post('/resume', (context, exchange) => {
    resumeScheduler(context);
    sendJson(exchange, 200, { status: 'resumed' });
  }),
  get('/is_paused', (context, exchange) => {
    sendJson(exchange, 200, { is_paused: context.generation.pauseState() !== 'UNPAUSED' });
  }),
  postJson('/abort_requests', (context, exchange, body) => {
    const given = body['request_ids'];
    const ids = Array.isArray(given) && given.length > 0 ? given.map(String) : null;
    const found = context.generation.abort(ids, 'abort');
    // vLLM counts the names that it was given, known or not.
    sendJson(exchange, 200, { status: 'aborted', aborted: ids?.length ?? found });
  }),
  post('/reset_prefix_cache', (_context, exchange) => sendJson(exchange, 200, { success: true })),
  post('/reset_mm_cache', (_context, exchange) => sendEmpty(exchange, 200)),
  post('/reset_encoder_cache', (_context, exchange) => sendEmpty(exchange, 200)),
  postText('/collective_rpc', collectiveRpc),
  get('/server_info', (context, exchange) => {
    const { options } = context;
    sendJson(exchange, 200, {
      vllm_config: `model='${options.model}', max_seq_len=${context.maxModelLen}, tensor_parallel_size=${options.tensorParallelSize}`,
      vllm_env: {},
      system_env: {},
    });
  }),
];

/** Of the worker's own methods those that change nothing here, and the one that does. */
const WORKER_METHODS: readonly string[] = [
  'reload_weights',
  'check_health',
  'list_loras',
  'get_model_inspection',
];

function collectiveRpc(context: SimContext, exchange: Exchange, text: string): void {
  const method = rpcBody(text)?.['method'];
  if (typeof method !== 'string') throw new ApiError(400, 'Bad Request', "Missing 'method' in request body");
  if (!WORKER_METHODS.includes(method)) {
    const worker = context.memory.kind === 'CPU' ? 'CPUWorker' : 'Worker';
    throw new UtilityFailure(
      `Call to collective_rpc method failed: Worker failed with error ''${worker}' object has no attribute '${method}'', please check the stack trace above for the root cause`,
    );
  }
  if (method === 'reload_weights') reloadWeights(context);
  const results = Array.from({ length: context.options.tensorParallelSize }, () => null);
  sendJson(exchange, 200, { results });
}

/** This route reads its JSON itself, and so has words of its own for a bad one. */
function rpcBody(text: string): JsonObject | null {
  try {
    return objectOf(JSON.parse(text));
  } catch (error) {
    const at = Number(/position (\d+)/.exec(String(error))?.[1] ?? text.length);
    const lines = text.slice(0, at).split('\n');
    const where = `line ${lines.length} column ${(lines.at(-1)?.length ?? 0) + 1} (char ${at})`;
    throw new ApiError(400, 'Bad Request', `JSON decode error: Expecting value: ${where}`);
  }
}

function levelOf(exchange: Exchange): number {
  const text = exchange.query.get('level') ?? '1';
  const level = Number(text);
  if (!/^-?\d+$/.test(text)) {
    const msg = 'Input should be a valid integer, unable to parse string as an integer';
    throw validationError([{ type: 'int_parsing', loc: 'query.level', msg, input: text }]);
  }
  if (level < 0) throw bound('greater_than_equal', 'greater than or equal to 0', text, "{'ge': 0}");
  if (level > 2) throw bound('less_than_equal', 'less than or equal to 2', text, "{'le': 2}");
  return level;
}

function bound(type: string, words: string, input: string, context: string): ApiError {
  return validationError([{ type, loc: 'query.level', msg: `Input should be ${words}`, input, context }]);
}

function modeOf(exchange: Exchange): PauseMode {
  const given = exchange.query.get('mode') ?? 'abort';
  const mode = MODES.find((candidate) => candidate === given);
  if (mode !== undefined) return mode;
  const msg = "Input should be 'abort', 'wait' or 'keep'";
  const context = `{'expected': "'abort', 'wait' or 'keep'"}`;
  throw validationError([{ type: 'literal_error', loc: 'query.mode', msg, input: given, context }]);
}

/** Loading adapters at run time. */
export function lorasRoutes(): readonly Route[] {
  return [
    postJson('/v1/load_lora_adapter', (context, exchange, body) => {
      const name = body['lora_name'];
      const path = body['lora_path'];
      if (typeof name !== 'string' || typeof path !== 'string' || name === '' || path === '') {
        throw new ApiError(400, 'InvalidUserInput', "Both 'lora_name' and 'lora_path' must be provided.");
      }
      if (context.loras.has(name) || context.options.servedNames.includes(name)) {
        throw new ApiError(400, 'InvalidUserInput', `The lora adapter '${name}' has already been loaded.`);
      }
      context.loras.set(name, path);
      sendText(exchange, 200, `Success: LoRA adapter '${name}' added successfully.`);
    }),
    postJson('/v1/unload_lora_adapter', (context, exchange, body) => {
      const name = objectOf(body)?.['lora_name'];
      if (typeof name !== 'string')
        throw badRequest("'lora_name' needs to be provided to unload a LoRA adapter.");
      if (!context.loras.delete(name)) {
        throw new ApiError(404, 'NotFoundError', `The lora adapter '${name}' cannot be found.`);
      }
      sendText(exchange, 200, `Success: LoRA adapter '${name}' removed successfully.`);
    }),
  ];
}
