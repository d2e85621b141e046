/** The workload of the benchmark, as reference measurements of other proxies used it. */

export const UNARY_CLIENTS = 32;
export const STREAM_CLIENTS = 64;
export const STREAM_CHUNKS = 200;
export const CHUNK_INTERVAL_MS = 10;
export const MODEL = 'm1';

/** About 1 KB of JSON. */
export function requestBody(stream: boolean): string {
  return JSON.stringify({
    model: MODEL,
    stream,
    temperature: 0.7,
    max_tokens: 256,
    messages: [
      { role: 'system', content: 'You are a helpful assistant. '.repeat(10).trim() },
      { role: 'user', content: 'Tell me about the weather in Paris, please. '.repeat(13).trim() },
    ],
  });
}
