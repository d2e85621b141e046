/** The workload of the benchmark, as reference measurements of other proxies used it. */

export const UNARY_CLIENTS = 32;
export const STREAM_CLIENTS = 64;
/** More than any part of a benchmark sends at once. */
export const CONCURRENT_MAX = 1_100;
export const STREAM_CHUNKS = 200;
export const CHUNK_INTERVAL_MS = 10;
/**
 * Processes that share the clients, and the stub's port. One process of either kind works in lockstep: it takes a batch
 * of events and answers all of it at once, which lets a proxy do the same. Real clients and engines are independent of
 * each other, as are the threads of the Go programs that the reference figures were measured with.
 */
export const LOAD_PROCESSES = 4;
export const ENGINE_PROCESSES = 4;
export const MODEL = 'm1';

/** About 1 KB of JSON; with `extraBytes` that much longer. */
export function requestBody(stream: boolean, extraBytes = 0): string {
  return JSON.stringify({
    model: MODEL,
    stream,
    temperature: 0.7,
    max_tokens: 256,
    messages: [
      { role: 'system', content: 'You are a helpful assistant. '.repeat(10).trim() + 'x'.repeat(extraBytes) },
      { role: 'user', content: 'Tell me about the weather in Paris, please. '.repeat(13).trim() },
    ],
  });
}
