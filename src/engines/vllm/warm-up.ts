/** The first answer of an engine that was just woken pays for its caches: we ask for it, not a client. */
import type { ResolvedModel } from '../../config/resolved-config.ts';
import { askInTime, isSuccess } from '../ask-in-time.ts';
import type { EngineHttp, SleepOptions, SleepResult } from '../engine.ts';
import { wordsOf } from './sleep.ts';

/** Generating servers have the first, pooling ones the others. */
function questions(model: string): readonly (readonly [path: string, body: object])[] {
  return [
    ['/v1/completions', { model, prompt: 'Hi', max_tokens: 1, temperature: 0 }],
    ['/v1/embeddings', { model, input: 'Hi' }],
    ['/pooling', { model, input: 'Hi' }],
  ];
}

/**
 * One short answer within the limit. A server that refuses all of the questions (4xx, 501) has nothing that could be
 * warmed this way, which is no failure; one that does not answer, or with 5xx, is broken.
 */
export async function warmUpVllm(
  http: EngineHttp,
  model: ResolvedModel,
  { timeoutMs, signal }: Omit<SleepOptions, 'level'>,
): Promise<SleepResult> {
  const deadlineMs = performance.now() + timeoutMs;
  for (const [path, body] of questions(model.servedName)) {
    const question = { method: 'POST', path, body: JSON.stringify(body) } as const;
    const asked = await askInTime(http, question, deadlineMs - performance.now(), signal);
    if (asked.kind === 'silent') return { kind: 'failed', detail: `${path}: ${asked.detail}` };
    const { status } = asked.answer;
    if (isSuccess(status)) return { kind: 'done' };
    if (status >= 500 && status !== 501) {
      return { kind: 'failed', detail: `${path} ${wordsOf(asked.answer)}` };
    }
  }
  return { kind: 'done' };
}
