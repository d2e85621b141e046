/** What a client makes of an answer that ended as HTTP says that it must: whole and its own, an honest error, or a fault. */
import { firstOf, objectIn, parsed, type Shape } from '../../test/fixtures/json-shape.ts';
import type { Ending, HttpAsk } from './ask.ts';

const SHOWN_CHARACTERS = 300;
/** Last event of a whole stream, in one of the three dialects. */
const LAST_EVENT = /^data: \[DONE\]$|"type": ?"(message_stop|response\.completed|response\.incomplete)"/;

export function judge(ask: HttpAsk, status: number, text: string): Ending {
  const told = ask.streams && status === 200 ? errorOfStream(text) : status >= 400 ? errorOf(text) : null;
  if (told !== null && status !== ask.status) return { kind: 'error', status, ...told };
  if (told !== null && status === 200) return { kind: 'error', status, ...told };
  if (status !== ask.status) return wrong(`status ${status} instead of ${ask.status}`, text);
  if (ask.contains !== null && !text.includes(ask.contains)) return wrong('the answer of another', text);
  if (status >= 400)
    return told === null ? wrong('an error that names nobody', text) : answered(status, text);
  if (text.includes('"finish_reason":"abort"')) return wrong('an aborted answer as a whole one', text);
  if (ask.streams && !LAST_EVENT.test(linesOf(text).at(-1) ?? ''))
    return wrong('a stream without its end', text);
  if (ask.echo === null) return answered(status, text);
  const said = ask.streams ? saidByStream(text) : saidBy(parsed(text));
  return said.startsWith(ask.echo)
    ? answered(status, text)
    : wrong(`not ${ask.echo} but ${said.slice(0, 60)}`, text);
}

function answered(status: number, text: string): Ending {
  return { kind: 'answered', status, text };
}

function wrong(what: string, text: string): Ending {
  const shown =
    text.length > 2 * SHOWN_CHARACTERS
      ? `${text.slice(0, SHOWN_CHARACTERS)} … ${text.slice(-SHOWN_CHARACTERS)}`
      : text;
  return { kind: 'wrong', detail: `${what}: ${shown}` };
}

/** Whose error, and which; null: the text tells of none. vLLM's own for paths that it has not is only a `detail`. */
export function errorOf(text: string): { readonly code: string; readonly origin: string } | null {
  const body = parsed(text);
  if (typeof body?.['detail'] === 'string' && body['error'] === undefined)
    return { code: body['detail'], origin: 'engine' };
  const error = objectIn(body, 'error') ?? (body?.['type'] === 'error' ? body : null);
  if (error === null || typeof error['message'] !== 'string') return null;
  return {
    code: String(error['code'] ?? body?.['code'] ?? error['type']),
    origin: String(body?.['origin'] ?? 'engine'),
  };
}

function errorOfStream(text: string): ReturnType<typeof errorOf> {
  const last = linesOf(text).findLast((line) => line.startsWith('data: {'));
  return last === undefined || !last.includes('"error"') ? null : errorOf(last.slice('data: '.length));
}

function linesOf(text: string): readonly string[] {
  return text.split('\n').filter((line) => line !== '' && !line.startsWith(':'));
}

/** The words of an answer, whole or a part of a stream, in every dialect. */
function saidBy(body: Shape | null): string {
  const choice = firstOf(body?.['choices']);
  if (choice !== null) {
    const message = objectIn(choice, 'message') ?? objectIn(choice, 'delta');
    return String(message?.['content'] ?? choice['text'] ?? '');
  }
  if (body?.['type'] === 'response.output_text.delta') return String(body['delta']);
  const delta = objectIn(body, 'delta');
  if (delta !== null) return String(delta['text'] ?? '');
  const item = firstOf(body?.['output']) ?? body;
  return String(firstOf(item?.['content'])?.['text'] ?? '');
}

function saidByStream(text: string): string {
  const events = linesOf(text).filter((line) => line.startsWith('data: {'));
  return events
    .map((line) => parsed(line.slice('data: '.length)))
    .filter(
      (event) => !String(event?.['type'] ?? '').match(/^response\.(?!output_text\.delta)|^message_start/),
    )
    .map(saidBy)
    .join('');
}
