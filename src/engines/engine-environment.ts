/**
 * The part of our environment that an engine may see: an allow-list, because ours also holds keys of the gateway and of
 * foreign servers, and a process that runs model code must not be able to read them.
 */
import type { LaunchContext } from './engine.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

const NAMES_PASSED: ReadonlySet<string> = new Set([
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'LANG',
  'LANGUAGE',
  'TZ',
  'TMPDIR',
  'LD_LIBRARY_PATH',
  'LD_PRELOAD',
  'VIRTUAL_ENV',
  'PYTHONPATH',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'ALL_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'all_proxy',
  'REQUESTS_CA_BUNDLE',
  'CURL_CA_BUNDLE',
  'CPATH',
  'CC',
  'CXX',
]);

const PREFIXES_PASSED: readonly string[] = [
  'LC_',
  'XDG_',
  'SSL_CERT_',
  'HF_',
  'HUGGINGFACE_',
  'TRANSFORMERS_',
  'CUDA_',
  'NVIDIA_',
  'NCCL_',
  'VLLM_',
  'TORCH',
  'PYTORCH_',
  'TRITON_',
  'OMP_',
  'KMP_',
  'MKL_',
  'GLOO_',
];

/**
 * Names that a prefix above would pass and that must not reach an engine: ours (VLLM_GATEWAY_*), those of the gateway
 * that we replace, which share vLLM's prefix, and three that vLLM itself would misread. VLLM_PORT is vLLM's internal
 * port range, VLLM_API_KEY would lock us out of our own engine, VLLM_SERVER_DEV_MODE opens routes that run any code.
 */
const NAMES_HELD_BACK =
  /^VLLM_(GATEWAY_.*|PORT|API_KEY|SERVER_DEV_MODE|IMAGE|CONTAINER_PREFIX|GPU_MEMORY_UTILIZATION|MAX_MODEL_LEN_GLOBAL|MAX_NUM_SEQS|TENSOR_PARALLEL_SIZE|INACTIVITY_TIMEOUT|ENFORCE_EAGER|NO_CUDAGRAPH|TEMP_DIR)$/;

/** What of `own` every managed engine gets. */
export function inheritedEnvironment(own: Environment): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const [name, value] of Object.entries(own)) {
    if (value !== undefined && isPassed(name)) passed[name] = value;
  }
  const legacyToken = own.HUGGING_FACE_HUB_TOKEN;
  if (legacyToken !== undefined && passed.HF_TOKEN === undefined) passed.HF_TOKEN = legacyToken;
  return passed;
}

/** Restricts an engine to its devices; on host memory nothing is named, so nothing is set. */
export function deviceEnvironment(
  context: Pick<LaunchContext, 'deviceIds' | 'deviceSource'>,
): Record<string, string> {
  if (context.deviceIds.length === 0) return {};
  // ROCm's own variable takes unique ids; the one that it shares with CUDA takes only numbers.
  const variable = context.deviceSource === 'amd' ? 'ROCR_VISIBLE_DEVICES' : 'CUDA_VISIBLE_DEVICES';
  return { [variable]: context.deviceIds.join(',') };
}

function isPassed(name: string): boolean {
  if (NAMES_HELD_BACK.test(name)) return false;
  return NAMES_PASSED.has(name) || PREFIXES_PASSED.some((prefix) => name.startsWith(prefix));
}
