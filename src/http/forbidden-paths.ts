/**
 * Paths that change an engine instead of asking it something. The gateway alone may use them: some of them execute
 * code, and all of them move memory behind its back.
 *
 * 1. A path is judged in the form that the most lenient server could read it in: decoded as often as it can be, split at
 *    slashes of both kinds, dot segments and parameters removed, in lower case, with `-` as `_`.
 * 2. Any segment counts, so that no prefix (`--root-path`, a mounted application) hides a route.
 */

/** How often a path may be percent-encoded; one server decodes once, a careless chain of two decodes twice. */
const DECODE_PASSES_MAX = 4;

const FORBIDDEN_SEGMENTS: ReadonlySet<string> = new Set([
  // vLLM
  'sleep',
  'wake_up',
  'pause',
  'resume',
  'collective_rpc',
  'server_info',
  'abort_requests',
  'release_kv_cache_memory',
  'scale_elastic_ep',
  'is_scaling_elastic_ep',
  'fault_tolerance',
  'start_profile',
  'stop_profile',
  // SGLang
  'abort_request',
  'flush_cache',
  'release_memory_occupation',
  'resume_memory_occupation',
  'set_internal_state',
  'configure_logging',
  'freeze_gc',
  'get_world_size',
  'close_session',
  'dump_expert_distribution_record',
  'start_expert_distribution_record',
  'stop_expert_distribution_record',
  'set_trace_level',
  // llama.cpp
  'lora_adapters',
  'slots',
  // Any server
  'shutdown',
  'admin',
  'debug',
]);

/**
 * Forbidden but for GET and HEAD, which read figures there: `/load` is vLLM's, `/props` llama.cpp's, and `/adapters` what
 * vLLM calls its loading of adapters for SageMaker.
 */
const FORBIDDEN_WRITES: ReadonlySet<string> = new Set(['props', 'load', 'unload', 'adapters']);

/** Families that grow with each release. */
const FORBIDDEN_PREFIXES = [
  'reset_',
  'load_',
  'unload_',
  'reload_',
  'hicache',
  'clear_hicache',
  'attach_hicache',
  'detach_hicache',
  'init_process_group',
  'destroy_process_group',
] as const;

/** Words that are harmless alone, as `parent/child`. */
const FORBIDDEN_PAIRS: ReadonlySet<string> = new Set([
  // Ollama
  'api/pull',
  'api/push',
  'api/create',
  'api/copy',
  'api/delete',
  'api/blobs',
  // llama.cpp as a router
  'models/load',
  'models/unload',
]);

/** Every name in the lists above, for docs/routes.md. */
export const FORBIDDEN_NAMES: readonly string[] = [
  ...FORBIDDEN_SEGMENTS,
  ...FORBIDDEN_WRITES,
  ...FORBIDDEN_PREFIXES.map((prefix) => `${prefix}*`),
  ...FORBIDDEN_PAIRS,
  '*weight*',
];

/** Would some server take this path (without its query) for one that changes an engine? */
export function isForbiddenPath(rawPath: string, method: string): boolean {
  const reads = method === 'GET' || method === 'HEAD';
  let parent = '';
  for (const segment of lenientSegments(rawPath)) {
    if (FORBIDDEN_SEGMENTS.has(segment) || segment.includes('weight')) return true;
    if (!reads && FORBIDDEN_WRITES.has(segment)) return true;
    if (FORBIDDEN_PREFIXES.some((prefix) => segment.startsWith(prefix))) return true;
    if (FORBIDDEN_PAIRS.has(`${parent}/${segment}`)) return true;
    parent = segment;
  }
  return false;
}

function lenientSegments(rawPath: string): string[] {
  const segments: string[] = [];
  for (const part of decodeFully(rawPath).split(/[/\\]/)) {
    const parametersAt = part.search(/[;?#]/);
    const bare = trimDots(parametersAt < 0 ? part : part.slice(0, parametersAt));
    // A `..` would take the segment before it away; leaving that one in can only forbid more.
    if (bare !== '') segments.push(bare.toLowerCase().replaceAll('-', '_'));
  }
  return segments;
}

/** Without dots, spaces and control characters at both ends, which some servers ignore there. */
function trimDots(text: string): string {
  const isTrimmed = (at: number): boolean => text.charCodeAt(at) <= 0x20 || text[at] === '.';
  let start = 0;
  let end = text.length;
  while (start < end && isTrimmed(start)) start++;
  while (end > start && isTrimmed(end - 1)) end--;
  return text.slice(start, end);
}

/** Why this path may be read in two ways, as part of a sentence; null for a plain one. */
export function pathFlaw(rawPath: string): string | null {
  const decoded = decodeFully(rawPath);
  if (/%[0-9a-fA-F]{2}/.test(decoded)) return 'the path is percent-encoded too often';
  if (decoded.includes('\\')) return 'the path holds a backslash';
  for (let at = 0; at < decoded.length; at++) {
    const code = decoded.charCodeAt(at);
    if (code < 0x20 || code === 0x7f) return 'the path holds a control character';
  }
  const segments = decoded.split('/');
  for (const [index, segment] of segments.entries()) {
    if (segment === '.' || segment === '..') return 'the path holds a dot segment';
    const isEdge = index === 0 || index === segments.length - 1;
    if (segment === '' && !isEdge) return 'the path holds an empty segment (`//`)';
  }
  return null;
}

/** Decodes the ASCII escapes until none is left or `DECODE_PASSES_MAX` is reached; never throws. */
function decodeFully(rawPath: string): string {
  let path = rawPath;
  for (let pass = 0; pass < DECODE_PASSES_MAX && path.includes('%'); pass++) {
    path = path.replace(/%([0-7][0-9a-fA-F])/g, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
  }
  return path;
}
