/** The smallest client: one chat request by fetch, as tests of the gateway send them. */

export interface ChatOptions {
  readonly content?: string;
  readonly maxTokens?: number;
  readonly stream?: boolean;
  readonly signal?: AbortSignal;
}

export function chat(url: string, model: string, options: ChatOptions = {}): Promise<Response> {
  const { content = 'Hello', maxTokens = 8, stream = false, signal } = options;
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content }], max_tokens: maxTokens, stream }),
    ...(signal === undefined ? {} : { signal }),
  });
}

export interface ChatResult {
  readonly status: number;
  readonly load: string | null;
  readonly code: string | null;
  readonly message: string;
  readonly atMs: number;
}

/** Sends, reads the whole answer and tells how it ended. */
export async function chatResult(url: string, model: string, options: ChatOptions = {}): Promise<ChatResult> {
  const answer = await chat(url, model, options);
  const body = (await answer.json()) as { error?: { code?: string; message?: string } };
  return {
    status: answer.status,
    load: answer.headers.get('x-load'),
    code: body.error?.code ?? null,
    message: body.error?.message ?? '',
    atMs: Date.now(),
  };
}
