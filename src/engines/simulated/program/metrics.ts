/** vLLM's Prometheus series with its names and labels, counted while requests run. */
import type { SimContext } from './context.ts';
import type { FinishReason } from './generation.ts';

const BUCKETS_S = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
] as const;
const BUCKETS_TOKENS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000,
] as const;

interface Histogram {
  readonly bounds: readonly number[];
  readonly counts: number[];
  sum: number;
  count: number;
}

/** Histograms of vLLM by name, in the order of its page. */
const HISTOGRAMS = {
  'vllm:time_to_first_token_seconds': BUCKETS_S,
  'vllm:inter_token_latency_seconds': BUCKETS_S,
  'vllm:request_time_per_output_token_seconds': BUCKETS_S,
  'vllm:e2e_request_latency_seconds': BUCKETS_S,
  'vllm:request_queue_time_seconds': BUCKETS_S,
  'vllm:request_inference_time_seconds': BUCKETS_S,
  'vllm:request_prefill_time_seconds': BUCKETS_S,
  'vllm:request_decode_time_seconds': BUCKETS_S,
  'vllm:request_prompt_tokens': BUCKETS_TOKENS,
  'vllm:request_generation_tokens': BUCKETS_TOKENS,
  'vllm:iteration_tokens_total': BUCKETS_TOKENS,
} as const;
type HistogramName = keyof typeof HISTOGRAMS;

export interface FinishedSequence {
  readonly reason: FinishReason;
  readonly promptTokens: number;
  readonly generatedTokens: number;
  readonly firstTokenS: number | null;
  readonly totalS: number;
}

export interface SimMetrics {
  /** Level of the last /sleep, also of one that changed nothing; null: awake. */
  sleepLevel: number | null;
  observe(finished: FinishedSequence): void;
  countHttp(method: string, path: string, status: number): void;
  countRejection(reason: string): void;
  render(context: SimContext): string;
}

export function createSimMetrics(): SimMetrics {
  const histograms = new Map<HistogramName, Histogram>();
  for (const [name, bounds] of Object.entries(HISTOGRAMS) as [HistogramName, readonly number[]][]) {
    histograms.set(name, { bounds, counts: bounds.map(() => 0), sum: 0, count: 0 });
  }
  const finished = new Map<FinishReason | 'repetition', number>(
    (['stop', 'length', 'abort', 'error', 'repetition'] as const).map((reason) => [reason, 0]),
  );
  const http = new Map<string, number>();
  const rejections = new Map<string, number>();
  let promptTokens = 0;
  let generationTokens = 0;
  const record = (name: HistogramName, value: number): void => {
    const histogram = histograms.get(name);
    if (histogram === undefined) return;
    histogram.sum += value;
    histogram.count++;
    histogram.bounds.forEach((bound, at) => {
      if (value <= bound) histogram.counts[at] = (histogram.counts[at] ?? 0) + 1;
    });
  };
  const bump = (counts: Map<string, number>, key: string): void => {
    counts.set(key, (counts.get(key) ?? 0) + 1);
  };
  return {
    sleepLevel: null,
    observe(sequence) {
      finished.set(sequence.reason, (finished.get(sequence.reason) ?? 0) + 1);
      promptTokens += sequence.promptTokens;
      generationTokens += sequence.generatedTokens;
      const first = sequence.firstTokenS ?? sequence.totalS;
      const decode = sequence.totalS - first;
      record('vllm:time_to_first_token_seconds', first);
      record('vllm:e2e_request_latency_seconds', sequence.totalS);
      record('vllm:request_inference_time_seconds', sequence.totalS);
      record('vllm:request_prefill_time_seconds', first);
      record('vllm:request_decode_time_seconds', decode);
      record('vllm:request_queue_time_seconds', 0);
      record('vllm:request_prompt_tokens', sequence.promptTokens);
      record('vllm:request_generation_tokens', sequence.generatedTokens);
      if (sequence.generatedTokens > 1) {
        record('vllm:inter_token_latency_seconds', decode / (sequence.generatedTokens - 1));
        record('vllm:request_time_per_output_token_seconds', decode / (sequence.generatedTokens - 1));
      }
    },
    countHttp: (method, path, status) =>
      bump(http, `handler="${path}",method="${method}",status="${Math.floor(status / 100)}xx"`),
    countRejection: (reason) => bump(rejections, reason),
    render(context) {
      const lines: string[] = [];
      const own = `engine="0",model_name="${context.options.servedNames[0]}"`;
      if (!context.options.disableLogStats) {
        renderGauges(lines, context, own, this.sleepLevel);
        renderCounters(lines, own, promptTokens, generationTokens);
        head(lines, 'vllm:request_success_total', 'counter', 'Count of successfully processed requests.');
        for (const [reason, count] of finished) {
          lines.push(`vllm:request_success_total{${own},finished_reason="${reason}"} ${float(count)}`);
        }
        for (const [name, histogram] of histograms) renderHistogram(lines, name, histogram, own);
      }
      if (rejections.size > 0)
        head(lines, 'vllm:admission_rejections_total', 'counter', 'Rejected requests.');
      for (const [reason, count] of rejections) {
        lines.push(
          `vllm:admission_rejections_total{model_name="${context.options.servedNames[0]}",reason="${reason}"} ${float(count)}`,
        );
      }
      head(
        lines,
        'http_requests_total',
        'counter',
        'Total number of requests by method, status and handler.',
      );
      for (const [labels, count] of http) lines.push(`http_requests_total{${labels}} ${float(count)}`);
      return `${lines.join('\n')}\n`;
    },
  };
}

function renderGauges(lines: string[], context: SimContext, own: string, sleepLevel: number | null): void {
  const { running, waiting } = context.generation.counts();
  const gauge = (name: string, help: string, value: number, extra = ''): void => {
    if (lines.at(-1)?.startsWith(`${name}{`) !== true) head(lines, name, 'gauge', help);
    lines.push(`${name}{${own}${extra}} ${float(value)}`);
  };
  gauge('vllm:num_requests_running', 'Number of requests in model execution batches.', running);
  gauge('vllm:num_requests_waiting', 'Number of requests waiting to be processed.', waiting);
  for (const reason of ['capacity', 'deferred']) {
    const value = reason === 'capacity' ? waiting : 0;
    gauge('vllm:num_requests_waiting_by_reason', 'Waiting requests by reason.', value, `,reason="${reason}"`);
  }
  const usage = Math.min(1, (running * 64) / Math.max(1, context.kv.tokens));
  gauge('vllm:kv_cache_usage_perc', 'KV-cache usage. 1 means 100 percent usage.', usage);
  const states = [
    ['awake', sleepLevel === null],
    ['weights_offloaded', sleepLevel === 1],
    ['discard_all', sleepLevel === 2],
  ] as const;
  for (const [state, holds] of states) {
    gauge('vllm:engine_sleep_state', 'Engine sleep state.', holds ? 1 : 0, `,sleep_state="${state}"`);
  }
  const blocks = Math.floor(context.kv.tokens / 16);
  head(lines, 'vllm:cache_config_info', 'gauge', 'Information of the LLMEngine CacheConfig.');
  lines.push(
    `vllm:cache_config_info{block_size="16",engine="0",gpu_memory_utilization="${context.options.gpuMemoryUtilization}",num_gpu_blocks="${blocks}"} 1.0`,
  );
}

function renderCounters(lines: string[], own: string, promptTokens: number, generationTokens: number): void {
  const counters = [
    ['vllm:num_preemptions_total', 'Cumulative number of preemptions.', 0],
    ['vllm:prefix_cache_queries_total', 'Prefix cache queries, in number of tokens.', promptTokens],
    ['vllm:prefix_cache_hits_total', 'Prefix cache hits, in number of tokens.', 0],
    ['vllm:external_prefix_cache_queries_total', 'External prefix cache queries.', 0],
    ['vllm:external_prefix_cache_hits_total', 'External prefix cache hits.', 0],
    ['vllm:mm_cache_queries_total', 'Multi-modal cache queries.', 0],
    ['vllm:mm_cache_hits_total', 'Multi-modal cache hits.', 0],
    ['vllm:prompt_tokens_total', 'Number of prefill tokens processed.', promptTokens],
    ['vllm:prompt_tokens_cached_total', 'Number of cached prompt tokens.', 0],
    ['vllm:generation_tokens_total', 'Number of generation tokens processed.', generationTokens],
    ['vllm:corrupted_requests_total', 'Corrupted requests.', 0],
  ] as const;
  for (const [name, help, value] of counters) {
    head(lines, name, 'counter', help);
    lines.push(`${name}{${own}} ${float(value)}`);
  }
}

function renderHistogram(lines: string[], name: string, histogram: Histogram, own: string): void {
  head(lines, name, 'histogram', 'Histogram.');
  histogram.bounds.forEach((bound, at) => {
    lines.push(`${name}_bucket{${own},le="${float(bound)}"} ${float(histogram.counts[at] ?? 0)}`);
  });
  lines.push(`${name}_bucket{${own},le="+Inf"} ${float(histogram.count)}`);
  lines.push(`${name}_count{${own}} ${float(histogram.count)}`);
  lines.push(`${name}_sum{${own}} ${histogram.sum}`);
}

function head(lines: string[], name: string, type: string, help: string): void {
  lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
}

/** Python writes floats. */
function float(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value);
}
