/**
 * Bytes of KV cache per token and per request on one rank, as vLLM allocates them: in blocks, from one pool that the groups
 * of layers share. Sources: vLLM's `v1/kv_cache_interface.py` (page sizes and blocks per request) and
 * `v1/core/kv_cache_utils.py` (groups).
 *  1. A page is what one layer keeps for one block: `heads x tokens x bytes per head and token`.
 *  2. Full attention: `ceil(length / block)` blocks. Sliding window: `ceil(min(window - 1 + in flight, length) / block) + 1`.
 *     Chunked: `ceil(min(chunk + in flight, length) / block)`. State: two pages (the running one and a copy for prefix caching,
 *     `mamba_cache_mode: align`), whatever the length.
 *  3. Layers of several kinds form groups of equal size, the smallest kind's (or the largest's, if less than 1.5 times as
 *     large); a block costs `group size x page` in each group, padding layers included.
 *  4. In hybrids the attention block grows until its page holds a state; states are padded to that page
 *     (`platforms/interface.py`, _align_hybrid_block_size).
 *  5. Where pages differ in other ways, each layer is counted for itself, which is what side-by-side packing comes to.
 */
import { assert } from '../core/assert.ts';
import { floatBytes } from './element-types.ts';
import type { AttentionReach, FloatType, LayerFacts, MixerFacts, StateFacts } from './model-facts.ts';

/** `auto`: the type of the weights. The last three keep a scale for each head and token. */
export const KV_TYPES = [
  'auto',
  'bfloat16',
  'float16',
  'fp8',
  'fp8_e4m3',
  'fp8_e5m2',
  'fp8_per_token_head',
  'int8_per_token_head',
  'int4_per_token_head',
] as const;

export type KvType = (typeof KV_TYPES)[number];

export interface KvOptions {
  readonly tensorParallel: number;
  readonly dtype: FloatType;
  readonly kvType: KvType;
  readonly maxModelLen: number;
  /** Tokens a block holds before hybrids raise it; null: what vLLM's backends take (16, latent attention 64). */
  readonly blockSize: number | null;
  /** Scheduled and not yet settled: concurrent batches x `--max-num-batched-tokens`. */
  readonly inFlightTokens: number;
}

export interface KvNeed {
  /** Of every layer that keeps a token, windows included: what the first tokens cost. */
  readonly bytesPerToken: number;
  /** Of layers that keep all tokens: what each further token costs once windows are full. */
  readonly growthBytesPerToken: number;
  /** Fixed per request: states of Mamba and its kin, before padding. */
  readonly stateBytes: number;
  /** One request of `maxModelLen` tokens while all tokens in flight are its own: whole blocks, groups and padding. */
  readonly bytesPerRequest: number;
  /** Each further request beside it: windows hold what they see, for the tokens in flight are counted already. */
  readonly bytesPerFurtherRequest: number;
  /** Tokens of a block, after hybrids raised it. */
  readonly blockTokens: number;
}

const BLOCK_TOKENS = 16;
const LATENT_BLOCK_TOKENS = 64;
/** Hybrids with latent attention keep their block a multiple of this (`platforms/interface.py`). */
const HYBRID_LATENT_ALIGNMENT = 128;
/** `fp8_ds_mla`, what sparse attention makes of fp8: 512 + 4 scales of 4 bytes + 64 x 2 bytes. */
const FP8_SPARSE_LATENT_BYTES = 656;
/** The indexer's cache has a scale of 4 bytes for 128 bytes of 8-bit keys (`deepseek_v2.py`, Indexer). */
const INDEXER_GROUP = 128;
const INDEXER_SCALE_BYTES = 4;
/** `mamba_cache_mode: align`, which prefix caching brings. */
const STATE_PAGES = 2;
/** `_get_kv_cache_groups_uniform_page_size`: below this ratio the larger kind sets the group's size. */
const GROUP_RATIO = 1.5;

/** What one layer keeps. */
type CacheLayer =
  | {
      readonly kind: 'tokens';
      readonly reach: AttentionReach;
      readonly bytesPerToken: number;
      readonly isLatent: boolean;
    }
  | { readonly kind: 'state'; readonly bytes: number };

/** `layers`: those of one pipeline stage. */
export function kvNeed(layers: readonly LayerFacts[], options: KvOptions): KvNeed {
  const caches = layers.flatMap(({ mixer }) => cachesOf(mixer, options));
  const tokens = caches.filter((cache) => cache.kind === 'tokens');
  const states = caches.filter((cache) => cache.kind === 'state');
  const pageStateBytes = Math.max(0, ...states.map(({ bytes }) => bytes));
  const blockTokens = blockTokensOf(tokens, pageStateBytes, options);
  return {
    bytesPerToken: tokens.reduce((sum, { bytesPerToken }) => sum + bytesPerToken, 0),
    growthBytesPerToken: tokens.reduce(
      (sum, { reach, bytesPerToken }) => sum + (keepsAll(reach, options.maxModelLen) ? bytesPerToken : 0),
      0,
    ),
    stateBytes: states.reduce((sum, { bytes }) => sum + bytes, 0),
    bytesPerRequest: requestBytes(caches, blockTokens, options),
    bytesPerFurtherRequest: requestBytes(caches, blockTokens, { ...options, inFlightTokens: blockTokens }),
    blockTokens,
  };
}

function keepsAll(reach: AttentionReach, maxModelLen: number): boolean {
  switch (reach.kind) {
    case 'full':
      return true;
    case 'sliding':
      return reach.windowTokens >= maxModelLen;
    case 'chunked':
      return reach.chunkTokens >= maxModelLen;
  }
}

function cachesOf(mixer: MixerFacts, options: KvOptions): CacheLayer[] {
  const plain = floatBytes(options.dtype);
  switch (mixer.kind) {
    case 'attention': {
      if (mixer.sharesCache) return [];
      const heads = Math.max(1, mixer.kvHeads / options.tensorParallel);
      const bytesPerToken = heads * headBytes(mixer.headSizeK + mixer.headSizeV, options.kvType, plain);
      return [{ kind: 'tokens', reach: mixer.reach, bytesPerToken, isLatent: false }];
    }
    case 'latent': {
      const size = mixer.kvLoraRank + mixer.ropeHeadSize;
      const isByte = options.kvType.startsWith('fp8');
      const quantized = mixer.indexer === null ? size : FP8_SPARSE_LATENT_BYTES;
      const bytes = isByte ? quantized : size * plain;
      const index = mixer.indexer === null ? 0 : indexerBytes(mixer.indexer.headSize);
      return [{ kind: 'tokens', reach: { kind: 'full' }, bytesPerToken: bytes + index, isLatent: true }];
    }
    case 'state':
      return [{ kind: 'state', bytes: stateBytes(mixer, options) }];
    case 'cross_attention':
    case 'none':
      return [];
  }
}

function indexerBytes(headSize: number): number {
  return headSize + Math.ceil(headSize / INDEXER_GROUP) * INDEXER_SCALE_BYTES;
}

/** Of one head and token, keys and values: `AttentionSpec.state_content_size_bytes`. */
function headBytes(elements: number, type: KvType, plainBytes: number): number {
  const scales = 8;
  switch (type) {
    case 'auto':
      return elements * plainBytes;
    case 'bfloat16':
    case 'float16':
      return elements * 2;
    case 'fp8':
    case 'fp8_e4m3':
    case 'fp8_e5m2':
      return elements;
    case 'fp8_per_token_head':
    case 'int8_per_token_head':
      return elements + scales;
    case 'int4_per_token_head':
      return elements / 2 + scales;
  }
}

/** `MambaSpec.page_size_bytes`. */
function stateBytes({ states }: StateFacts, { tensorParallel, dtype }: KvOptions): number {
  return states.reduce(
    (sum, { elements, type }) =>
      sum + (elements / tensorParallel) * floatBytes(type === 'model' ? dtype : type),
    0,
  );
}

type TokenCache = Extract<CacheLayer, { kind: 'tokens' }>;

function blockTokensOf(tokens: readonly TokenCache[], stateBytesOfLayer: number, options: KvOptions): number {
  const isLatent = tokens.some((cache) => cache.isLatent);
  const base = options.blockSize ?? (isLatent ? LATENT_BLOCK_TOKENS : BLOCK_TOKENS);
  if (stateBytesOfLayer === 0 || tokens.length === 0) return base;
  const alignment = isLatent ? Math.max(base, HYBRID_LATENT_ALIGNMENT) : base;
  const perToken = Math.max(...tokens.map(({ bytesPerToken }) => bytesPerToken));
  return alignment * Math.ceil(stateBytesOfLayer / (alignment * perToken));
}

function requestBytes(caches: readonly CacheLayer[], blockTokens: number, options: KvOptions): number {
  const perToken = new Set(caches.flatMap((cache) => (cache.kind === 'tokens' ? [cache.bytesPerToken] : [])));
  const kinds = new Map<string, CacheLayer[]>();
  for (const cache of caches) {
    const key = cache.kind === 'state' ? 'state' : JSON.stringify(cache.reach);
    kinds.set(key, [...(kinds.get(key) ?? []), cache]);
  }
  // One kind, or pages of several sizes: no padding between layers.
  if (kinds.size <= 1 || perToken.size > 1)
    return caches.reduce(
      (sum, cache) => sum + pagesOf(cache, blockTokens, options) * ownPage(cache, blockTokens),
      0,
    );
  const page = blockTokens * ([...perToken][0] ?? 0);
  const size = groupSize([...kinds.values()].map((layers) => layers.length));
  let blocks = 0;
  for (const layers of kinds.values()) {
    const [first] = layers;
    assert(first !== undefined, 'a kind has layers');
    blocks += Math.ceil(layers.length / size) * pagesOf(first, blockTokens, options);
  }
  // Pure states have no page of tokens to be padded to.
  return blocks * size * (page === 0 && caches[0] !== undefined ? ownPage(caches[0], blockTokens) : page);
}

function groupSize(counts: readonly number[]): number {
  const least = Math.min(...counts);
  const most = Math.max(...counts);
  return most < least * GROUP_RATIO ? most : least;
}

function ownPage(cache: CacheLayer, blockTokens: number): number {
  return cache.kind === 'state' ? cache.bytes : cache.bytesPerToken * blockTokens;
}

function pagesOf(cache: CacheLayer, blockTokens: number, { maxModelLen, inFlightTokens }: KvOptions): number {
  if (cache.kind === 'state') return STATE_PAGES;
  const { reach } = cache;
  switch (reach.kind) {
    case 'full':
      return Math.ceil(maxModelLen / blockTokens);
    case 'sliding':
      return Math.ceil(Math.min(reach.windowTokens - 1 + inFlightTokens, maxModelLen) / blockTokens) + 1;
    case 'chunked':
      return Math.ceil(Math.min(reach.chunkTokens + inFlightTokens, maxModelLen) / blockTokens);
  }
}
