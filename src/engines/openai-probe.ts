/**
 * Readiness of any server that talks OpenAI's protocol. Two questions: does it live (its health route), and is it ours
 * (`/v1/models` lists the name we launched it with)? A port is ours only by luck, so the second is never left out.
 *
 *  P1. A probe ends within its time limit whatever the server or the transport does.
 *  P2. A probe never throws: all that can happen is a ProbeResult.
 */
import { type Answer, type Asked, askInTime, isRecord, isSuccess, parseJson } from './ask-in-time.ts';
import type { EngineHttp, ProbeResult } from './engine.ts';

export interface ProbeTarget {
  /** Any of these in the model list is us. */
  readonly names: readonly string[];
  readonly healthPath: string;
  /** A server without the health route is asked for its models alone. */
  readonly healthOptional: boolean;
  /** A server that we did not launch is what its URL says: a list without our name is no reason to refuse it. */
  readonly identity: 'required' | 'informative';
}

const MODELS_PATH = '/v1/models';

/** How many foreign names a detail shows. */
const NAMES_SHOWN_MAX = 5;

/** One look at a server that listens for us, at most `timeoutMs` long. */
export async function probeOpenAi(
  http: EngineHttp,
  target: ProbeTarget,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<ProbeResult> {
  const deadlineMs = performance.now() + timeoutMs;
  const ask = (path: string): Promise<Asked> =>
    askInTime(http, { method: 'GET', path }, deadlineMs - performance.now(), signal);

  if (target.healthPath !== MODELS_PATH) {
    const health = await ask(target.healthPath);
    if (health.kind === 'silent') return { kind: 'not_ready', detail: health.detail };
    const { status } = health.answer;
    const missing = status === 404 || status === 405;
    if (!isSuccess(status) && !(missing && target.healthOptional)) {
      return refusal(target, target.healthPath, status);
    }
  }
  const models = await ask(MODELS_PATH);
  if (models.kind === 'silent') return { kind: 'not_ready', detail: models.detail };
  return judgeModels(target, models.answer);
}

function judgeModels(target: ProbeTarget, answer: Answer): ProbeResult {
  const informative = target.identity === 'informative';
  if (!isSuccess(answer.status)) {
    const missing = answer.status === 404 || answer.status === 405;
    // A foreign server whose own health route answered need not have a model list.
    if (informative && missing && target.healthPath !== MODELS_PATH && !target.healthOptional) {
      return { kind: 'ready', contextLength: null };
    }
    return refusal(target, MODELS_PATH, answer.status);
  }
  const cards = modelCards(answer.body);
  if (cards === null) {
    return informative
      ? { kind: 'ready', contextLength: null }
      : { kind: 'stranger', detail: `${MODELS_PATH} does not answer with a model list` };
  }
  const ours = cards.find((card) => target.names.includes(card.id));
  if (ours !== undefined) return { kind: 'ready', contextLength: ours.contextLength };
  if (informative) return { kind: 'ready', contextLength: null };
  return { kind: 'stranger', detail: `it serves ${listOf(cards)}, not ${target.names.join(' or ')}` };
}

/** 5xx and "too early / too many" pass; what refuses our question for good is somebody else, or wants a key. */
function refusal(target: ProbeTarget, path: string, status: number): ProbeResult {
  const detail = `${path} answers ${status}`;
  const passing = status >= 500 || status === 408 || status === 425 || status === 429;
  if (passing || target.identity === 'informative') return { kind: 'not_ready', detail };
  return { kind: 'stranger', detail };
}

interface ModelCard {
  readonly id: string;
  readonly contextLength: number | null;
}

/** Null for a body that is not a model list. */
function modelCards(body: string): readonly ModelCard[] | null {
  const list = parseJson(body);
  if (!isRecord(list) || !Array.isArray(list.data)) return null;
  const cards: ModelCard[] = [];
  for (const entry of list.data as unknown[]) {
    if (isRecord(entry) && typeof entry.id === 'string') {
      cards.push({ id: entry.id, contextLength: contextLengthOf(entry) });
    }
  }
  return cards;
}

/** vLLM says max_model_len; context_length and context_window are other servers' words for it. */
function contextLengthOf(entry: Readonly<Record<string, unknown>>): number | null {
  for (const key of ['max_model_len', 'context_length', 'context_window']) {
    const value = entry[key];
    if (typeof value === 'number' && Number.isInteger(value) && value > 0) return value;
  }
  return null;
}

function listOf(cards: readonly ModelCard[]): string {
  if (cards.length === 0) return 'no model';
  const shown = cards.slice(0, NAMES_SHOWN_MAX).map((card) => card.id);
  return cards.length > shown.length ? `${shown.join(', ')}, …` : shown.join(', ');
}
