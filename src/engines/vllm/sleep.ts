/**
 * Sleep and waking of a vLLM, over the development routes.
 *
 *  S1. `status` of an answer counts, not its code: waking a tag that is not asleep does nothing and is answered with 200.
 *  S2. After level 2 there is never a bare /wake_up: it would serve with whatever lies in the memory of the weights.
 *  S3. One deadline over all steps; nothing is thrown. After a failure the engine's state is unknown.
 */
import {
  type Answer,
  type Asked,
  askInTime,
  isRecord,
  isSuccess,
  parseJson,
  type Question,
} from '../ask-in-time.ts';
import type { EngineHttp, SleepOptions, SleepResult } from '../engine.ts';
import { shownLine } from '../output-lines.ts';

type Ask = (method: 'GET' | 'POST', path: string, body?: object) => Promise<Asked>;
type Failure = Extract<SleepResult, { readonly kind: 'failed' }>;

const DONE: SleepResult = { kind: 'done' };

/** Requests in flight would be aborted: the caller has none. */
export async function sleepVllm(http: EngineHttp, options: SleepOptions): Promise<SleepResult> {
  const ask = withinDeadline(http, options);
  const { level } = options;
  const asked = await ask('POST', `/sleep?level=${level}&mode=abort`);
  const failure = failureOf(asked, '/sleep');
  if (failure !== null) return failure;
  const { status, level: reached } = fieldsOf(asked);
  if (status === undefined || reached === undefined) return expectAsleep(ask, true);
  if (status !== 'sleeping' || reached !== level) {
    return failed(`/sleep answers status ${shown(status)} and level ${shown(reached)}`);
  }
  return DONE;
}

/** In the order that the level asks for; `done` only when everything is resident and requests run again. */
export async function wakeVllm(http: EngineHttp, options: SleepOptions): Promise<SleepResult> {
  const ask = withinDeadline(http, options);
  return options.level === 1 ? wake(ask, '/wake_up') : wakeWithWeightsReread(ask);
}

async function wakeWithWeightsReread(ask: Ask): Promise<SleepResult> {
  const weights = '/wake_up?tags=weights';
  const mapped = failureOf(await ask('POST', weights), weights);
  if (mapped !== null) return mapped;
  const reread = failureOf(
    await ask('POST', '/collective_rpc', { method: 'reload_weights' }),
    'reload_weights',
  );
  if (reread !== null) return reread;
  const woken = await wake(ask, '/wake_up?tags=kv_cache');
  if (woken.kind === 'failed') return woken;
  const cache = '/reset_prefix_cache';
  const reset = await ask('POST', cache);
  const refused = failureOf(reset, cache);
  if (refused !== null) return refused;
  return fieldsOf(reset).success === false ? failed(`${cache} answers success false`) : DONE;
}

async function wake(ask: Ask, path: string): Promise<SleepResult> {
  const asked = await ask('POST', path);
  const failure = failureOf(asked, path);
  if (failure !== null) return failure;
  const { status } = fieldsOf(asked);
  if (status === undefined) return expectAsleep(ask, false);
  return status === 'awake' ? DONE : failed(`${path} answers status ${shown(status)}`);
}

/** Older releases answer sleep and wake without a body: then they are asked. */
async function expectAsleep(ask: Ask, wanted: boolean): Promise<SleepResult> {
  const asked = await ask('GET', '/is_sleeping');
  const failure = failureOf(asked, '/is_sleeping');
  if (failure !== null) return failure;
  const found = fieldsOf(asked).is_sleeping;
  return found === wanted ? DONE : failed(`/is_sleeping answers ${shown(found)}`);
}

/**
 * Null: it does not answer, or not sensibly. The question goes to the engine's core, behind a sleep or a waking under way.
 * An engine without the development routes was never put to sleep.
 */
export async function isVllmAsleep(http: EngineHttp, timeoutMs: number): Promise<boolean | null> {
  const asked = await askInTime(http, { method: 'GET', path: '/is_sleeping' }, timeoutMs, undefined);
  if (asked.kind === 'silent') return null;
  const { status } = asked.answer;
  if (status === 404 || status === 405) return false;
  if (!isSuccess(status)) return null;
  const found = fieldsOf(asked).is_sleeping;
  return typeof found === 'boolean' ? found : null;
}

/** S3. */
function withinDeadline(http: EngineHttp, { timeoutMs, signal }: SleepOptions): Ask {
  const deadlineMs = performance.now() + timeoutMs;
  return (method, path, body) => {
    const question: Question = {
      method,
      path,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    };
    return askInTime(http, question, deadlineMs - performance.now(), signal);
  };
}

function failureOf(asked: Asked, what: string): Failure | null {
  if (asked.kind === 'silent') return failed(`${what}: ${asked.detail}`);
  return isSuccess(asked.answer.status) ? null : failed(`${what} ${wordsOf(asked.answer)}`);
}

function failed(detail: string): Failure {
  return { kind: 'failed', detail };
}

/** The fields of a JSON object; of anything else none. */
function fieldsOf(asked: Asked): Readonly<Record<string, unknown>> {
  const value = asked.kind === 'answer' ? parseJson(asked.answer.body) : null;
  return isRecord(value) ? value : {};
}

/** What the engine says of its failure, fit to be shown. */
export function wordsOf(answer: Answer): string {
  const parsed = parseJson(answer.body);
  const error = isRecord(parsed) ? (parsed.error ?? parsed.detail) : undefined;
  const message = isRecord(error) ? error.message : error;
  const words = shownLine(typeof message === 'string' ? message : (answer.body.split('\n')[0] ?? ''));
  return words === '' ? `answers ${answer.status}` : `answers ${answer.status}: ${words}`;
}

function shown(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value);
}
