/**
 * One question to an engine's control routes.
 *
 *  A1. It ends within its time limit whatever the server or the transport does.
 *  A2. It never throws: no answer is an answer of its own.
 */
import type { EngineHttp } from './engine.ts';

export type Answer = Awaited<ReturnType<EngineHttp['request']>>;
export type Asked =
  | { readonly kind: 'answer'; readonly answer: Answer }
  | { readonly kind: 'silent'; readonly detail: string };

export interface Question {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: string;
}

/** A1: the transport has the same limit, but we do not depend on its keeping it. */
export async function askInTime(
  http: EngineHttp,
  question: Question,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Asked> {
  const { path } = question;
  if (timeoutMs <= 0) return { kind: 'silent', detail: `${path} was not reached in time` };
  if (signal?.aborted === true) return { kind: 'silent', detail: 'aborted' };
  return await new Promise<Asked>((resolve) => {
    const finish = (asked: Asked): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      resolve(asked);
    };
    const onAbort = (): void => finish({ kind: 'silent', detail: 'aborted' });
    const timer = setTimeout(
      () => finish({ kind: 'silent', detail: `${path} gave no answer within ${Math.ceil(timeoutMs)} ms` }),
      timeoutMs,
    );
    signal?.addEventListener('abort', onAbort, { once: true });
    // Inside `then`, so that a transport that throws at once is caught as well.
    Promise.resolve()
      .then(() => http.request({ ...question, timeoutMs, ...(signal === undefined ? {} : { signal }) }))
      .then(
        (answer) => finish({ kind: 'answer', answer }),
        (error: unknown) =>
          finish({ kind: 'silent', detail: error instanceof Error ? error.message : String(error) }),
      );
  });
}

export function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

export function parseJson(body: string): unknown {
  try {
    return JSON.parse(body) as unknown;
  } catch {
    return null;
  }
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
