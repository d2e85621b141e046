/**
 * What becomes of an engine's answer when an early 200 has gone out. An event stream passes; of anything else, its
 * client gets the substance as one event:
 *
 * 1. An error (4xx, 5xx): the dialect's error event with the engine's own status, code and message.
 * 2. A whole JSON answer with a 2xx, as from a route that does not stream: its bytes as one `data:` event, and a clean end.
 *    The engine's work is done and must not be lost.
 * 3. The rest cannot be told within an event stream: error `engine_bad_answer`.
 */
import type { ErrorCode } from '../core/errors.ts';
import type { CollectedAnswer } from '../proxy/collected-answer.ts';
import { type ErrorContext, engineErrorFrame, streamErrorFrame } from './error-body.ts';
import { isEventStream } from './hop-headers.ts';

export interface LastFrames {
  readonly frames: Buffer;
  readonly failed: boolean;
  /** Of our own error; null: the events say what the engine said. */
  readonly code: ErrorCode | null;
}

/** An answer whose bytes may follow an early head. */
export function passesOn(status: number, rawHeaders: readonly string[]): boolean {
  if (status !== 200) return false;
  let passes = false;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]?.toLowerCase();
    const value = rawHeaders[index + 1] ?? '';
    if (name === 'content-type') passes = isEventStream(value);
    // The early head said nothing of a coding, and an engine was not asked for one.
    else if (name === 'content-encoding' && value.toLowerCase() !== 'identity') return false;
  }
  return passes;
}

export function lastFrames(answer: CollectedAnswer, context: ErrorContext, model: string): LastFrames {
  const { status, contentType, truncated } = answer;
  if (status >= 400) {
    const frames = engineErrorFrame(status, answer.text(), context);
    return { frames, failed: true, code: null };
  }
  const text = truncated ? '' : answer.text();
  if (status >= 200 && status < 300 && isJson(text)) {
    // Outside of strings a line break means nothing, and inside them JSON has none.
    const line = text.trim().replaceAll(/[\r\n]+/g, ' ');
    const end = context.dialect === 'openai' ? 'data: [DONE]\n\n' : '';
    return { frames: Buffer.from(`data: ${line}\n\n${end}`), failed: false, code: null };
  }
  const what = truncated ? 'a longer answer than is read of one that is no stream' : contentType || 'nothing';
  const cause = `it answered a stream with status ${status} and ${what} after progress had been told`;
  const frames = streamErrorFrame({ code: 'engine_bad_answer', parameters: { model, cause } }, context);
  return { frames, failed: true, code: 'engine_bad_answer' };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
