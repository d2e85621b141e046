/**
 * The part of our environment that an engine may see: an allow-list, because ours also holds keys of the gateway and of
 * foreign servers, and a process that runs model code must not be able to read them.
 */
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { LaunchContext } from './engine.ts';
import { hubToken } from './hub-token.ts';

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

/**
 * Names that say where something of this host is or which hardware it has, and mislead in a container: programs, folders,
 * libraries, and what the hook of the container's runtime sets itself (NVIDIA_DRIVER_CAPABILITIES of a gateway's own container
 * may lack `compute`).
 */
const NAMES_OF_THIS_HOST =
  /^(PATH|HOME|USER|LOGNAME|TMPDIR|VIRTUAL_ENV|PYTHONPATH|CPATH|CC|CXX)$|^(LD|XDG|NVIDIA)_|^CUDA_(VISIBLE_DEVICES|VERSION)$|_(HOME|PATH|ROOT|DIR|CACHE|FILE|BUNDLE)$/;
/** A path, a list of paths, or the address of a file. */
const PATH_OF_THIS_HOST = /^(\/|~|\.\.?\/|file:)/;

/** Until these are told otherwise, a complete source means that no hub is asked. */
const OFFLINE_NAMES = ['HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE'] as const;

/** What every managed engine gets: an allow-list of `own`, its devices, and whether it asks a hub. The model's own comes after. */
export function engineEnvironment(
  model: Pick<ResolvedModel, 'environment'>,
  context: Pick<LaunchContext, 'deviceIds' | 'deviceSource' | 'source' | 'sharesHost'>,
  own: Environment,
): Record<string, string> {
  const { HF_TOKEN: _, ...inherited } = inheritedEnvironment(own, context.sharesHost);
  const isOffline =
    context.source?.isComplete === true &&
    OFFLINE_NAMES.every((name) => model.environment[name] === undefined);
  // A process that runs a model's code gets no secret that it has no use for. In a container it cannot see the token's file.
  const token = isOffline ? null : hubToken(own, context.sharesHost ? 'variables' : 'files_too');
  return {
    ...inherited,
    ...deviceEnvironment(context),
    ...(isOffline ? Object.fromEntries(OFFLINE_NAMES.map((name) => [name, '1'])) : {}),
    ...(token === null ? {} : { HF_TOKEN: token }),
  };
}

/** What of `own` an engine gets. `sharesHost` false: it runs in an image of its own, where nothing of this host is. */
export function inheritedEnvironment(own: Environment, sharesHost = true): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const [name, value] of Object.entries(own)) {
    if (value === undefined || !isPassed(name)) continue;
    if (sharesHost || !(NAMES_OF_THIS_HOST.test(name) || PATH_OF_THIS_HOST.test(value))) passed[name] = value;
  }
  const legacyToken = own.HUGGING_FACE_HUB_TOKEN;
  if (legacyToken !== undefined && passed.HF_TOKEN === undefined) passed.HF_TOKEN = legacyToken;
  return passed;
}

/**
 * Restricts an engine to its devices; on host memory nothing is named, so nothing is set. A container sees only the NVIDIA
 * devices that were handed to it, all of which are its own.
 */
export function deviceEnvironment(
  context: Pick<LaunchContext, 'deviceIds' | 'deviceSource' | 'sharesHost'>,
): Record<string, string> {
  if (context.deviceIds.length === 0) return {};
  if (context.deviceSource === 'nvidia' && !context.sharesHost) return {};
  // ROCm's own variable takes unique ids; the one that it shares with CUDA takes only numbers.
  const variable = context.deviceSource === 'amd' ? 'ROCR_VISIBLE_DEVICES' : 'CUDA_VISIBLE_DEVICES';
  return { [variable]: context.deviceIds.join(',') };
}

function isPassed(name: string): boolean {
  if (NAMES_HELD_BACK.test(name)) return false;
  return NAMES_PASSED.has(name) || PREFIXES_PASSED.some((prefix) => name.startsWith(prefix));
}
