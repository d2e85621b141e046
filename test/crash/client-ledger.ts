/**
 * The clients' own book: each request is numbered, and how it ended is judged by what came over the wire alone. An answer is
 * whole, or honestly an error, or visibly broken off; anything else is a fault of the gateway.
 */
import { firstOf, objectIn, parsed, type Shape } from '../fixtures/json-shape.ts';

/** What came back. */
export interface Exchange {
  readonly isStream: boolean;
  /** Tokens that were asked for, exactly. */
  readonly tokens: number;
  /** Null where no head came. */
  readonly status: number | null;
  readonly text: string;
  /** Of the transfer: it ended as HTTP says that it must. */
  readonly isCleanEnd: boolean;
  /** Code of the connection's error, such as `ECONNREFUSED`; null without one. */
  readonly fault: string | null;
}

export type Outcome =
  | { readonly kind: 'complete' }
  /** A whole answer that says what went wrong. */
  | { readonly kind: 'error'; readonly status: number; readonly code: string }
  /** The connection ended within the answer, or before it. */
  | { readonly kind: 'broken' }
  | { readonly kind: 'refused' }
  /** Ended as if all were well, and was not whole. The worst that can happen. */
  | { readonly kind: 'cut_short'; readonly detail: string }
  | { readonly kind: 'unanswered' };

export interface Entry {
  readonly number: number;
  readonly model: string;
  readonly isStream: boolean;
  readonly sentMs: number;
  /** First byte of the body; null where none came. */
  readonly begunMs: number | null;
  readonly endedMs: number;
  readonly outcome: Outcome;
}

/** A gateway's death: the time of the kill, of its exit, and of the next one's listening (infinite while there is none). */
export interface Outage {
  readonly killedMs: number;
  readonly exitedMs: number;
  readonly listeningMs: number;
}

/** What a client that reads for longer than this was answered by nobody. */
export const ANSWER_LIMIT_MS = 90_000;
/** What a dead gateway has sent is read within this, also on a busy machine. */
const IN_FLIGHT_MS = 2_000;
const DONE = '[DONE]';

export function judge(exchange: Exchange): Outcome {
  const { status, fault, isCleanEnd, text, isStream } = exchange;
  if (fault === 'UNANSWERED') return { kind: 'unanswered' };
  if (fault === 'ECONNREFUSED') return { kind: 'refused' };
  if (status === null || !isCleanEnd) return { kind: 'broken' };
  if (status !== 200) return judgeError(status, text);
  const told = isStream ? errorFrameOf(text) : null;
  if (told !== null) return { kind: 'error', status, code: String(told['code']) };
  const missing = isStream ? missingOfStream(exchange) : missingOfAnswer(exchange);
  return missing === null ? { kind: 'complete' } : { kind: 'cut_short', detail: missing };
}

function judgeError(status: number, text: string): Outcome {
  const error = objectIn(parsed(text), 'error');
  const code = error?.['code'];
  if (typeof error?.['message'] === 'string' && (typeof code === 'string' || typeof code === 'number'))
    return { kind: 'error', status, code: String(code) };
  return { kind: 'cut_short', detail: `a ${status} without an error in it: ${text.slice(0, 200)}` };
}

/** A stream whose last frame is an error says itself that it is not whole. */
function errorFrameOf(text: string): Shape | null {
  const last = framesOf(text)
    .filter((frame) => frame !== DONE)
    .at(-1);
  return objectIn(parsed(last ?? ''), 'error');
}

/** Null where nothing is missing. */
function missingOfStream({ text, tokens }: Exchange): string | null {
  const frames = framesOf(text);
  if (frames.at(-1) !== DONE) return `a stream that ended cleanly without ${DONE}: …${text.slice(-120)}`;
  const choices = frames.slice(0, -1).map((frame) => choiceOf(parsed(frame)));
  const reasons = choices.map((choice) => choice?.['finish_reason']).filter((reason) => reason != null);
  if (reasons.join() !== 'length')
    return `a stream of ${tokens} tokens that finished with "${reasons.join()}"`;
  const spoken = choices.filter((choice) => objectIn(choice, 'delta')?.['content']).length;
  return spoken >= tokens ? null : `a stream with ${spoken} of ${tokens} tokens`;
}

function missingOfAnswer({ text, tokens }: Exchange): string | null {
  const answer = parsed(text);
  const reason = choiceOf(answer)?.['finish_reason'];
  if (reason !== 'length') return `an answer that finished with "${String(reason)}": ${text.slice(0, 120)}`;
  const count = objectIn(answer, 'usage')?.['completion_tokens'];
  return count === tokens ? null : `an answer with ${String(count)} of ${tokens} tokens`;
}

/** The data of each frame. */
function framesOf(text: string): readonly string[] {
  return text
    .split('\n\n')
    .filter((frame) => frame !== '')
    .map((frame) => frame.replace(/^(event: .*\n)?data: /, ''));
}

function choiceOf(value: Shape | null): Shape | null {
  return firstOf(value?.['choices']);
}

/** What must not have happened, in words. `sent`: how many numbers were given out; every one of them must have ended. */
export function faultsOfClients(
  entries: readonly Entry[],
  outages: readonly Outage[],
  sent: number,
): readonly string[] {
  const faults: string[] = [];
  const numbers = new Set(entries.map(({ number }) => number));
  if (numbers.size !== entries.length) faults.push(`${entries.length - numbers.size} requests ended twice`);
  if (numbers.size !== sent) faults.push(`${sent - numbers.size} of ${sent} requests never ended`);
  for (const entry of entries) {
    const fault = faultOf(entry, outages);
    if (fault !== null)
      faults.push(`request ${entry.number} (${entry.model}${entry.isStream ? ', stream' : ''}): ${fault}`);
  }
  return faults;
}

function faultOf(entry: Entry, outages: readonly Outage[]): string | null {
  const { outcome, sentMs, endedMs, begunMs } = entry;
  const overlaps = (fromMs: number, untilMs: number): boolean => sentMs <= untilMs && endedMs >= fromMs;
  switch (outcome.kind) {
    case 'cut_short':
      return outcome.detail;
    case 'unanswered':
      return `no answer within ${ANSWER_LIMIT_MS} ms`;
    case 'broken':
      return outages.some(({ killedMs, exitedMs }) => overlaps(killedMs, exitedMs))
        ? null
        : 'broken off while its gateway lived';
    case 'refused':
      return outages.some(({ killedMs, listeningMs }) => overlaps(killedMs, listeningMs))
        ? null
        : 'refused while a gateway listened';
    case 'complete': {
      const killed = outages.find((outage) => begunMs !== null && isWithin(outage, begunMs, endedMs));
      return killed === undefined
        ? null
        : `it had begun when its gateway was killed, and was complete ${Math.round(endedMs - killed.exitedMs)} ms later`;
    }
    default:
      return null;
  }
}

function isWithin({ killedMs, exitedMs }: Outage, begunMs: number, endedMs: number): boolean {
  return begunMs < killedMs && endedMs > exitedMs + IN_FLIGHT_MS;
}
