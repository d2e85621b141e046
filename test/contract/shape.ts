/**
 * Reduces an answer to what a client may rely on: the status, the headers of interest, which keys of which type stand in
 * the JSON, the words that belong to the protocol, and the order of a stream's frames. Two engines keep the same contract
 * when these lines are equal.
 */
import { eventFrames } from './event-frames.ts';
import type { ExchangeAnswer } from './http-exchange.ts';

/** Their value is compared, not only their type. Everything else of type string differs from run to run. */
const wordKeys = new Set([
  'object',
  'type',
  'role',
  'finish_reason',
  'stop_reason',
  'stop_sequence',
  'param',
  'status',
  'owned_by',
  'tool_choice',
  'truncation',
  'detail',
  'message',
  'error',
  'organization',
  'service_tier',
  'model',
  'parent',
  'version',
]); // prettier-ignore
/** Numbers and truth values that belong to the protocol. */
const valueKeys = new Set([
  'code',
  'level',
  'index',
  'is_sleeping',
  'is_paused',
  'aborted',
  'max_model_len',
  'success',
]);
/** The front of an identifier tells what it names: `chatcmpl-…`, `resp_…`. */
const identifierKeys = new Set(['id', 'item_id', 'response_id', 'request_id']);
/** Lists whose length the request decides. */
const countedKeys = new Set(['choices', 'data', 'output', 'results', 'scores', 'tags', 'content']);
/** The others (date, vary, a server's own) are free. */
const headersOfInterest = new Set([
  'content-type',
  'allow',
  'www-authenticate',
  'x-request-id',
  'server',
  'connection',
  'retry-after',
  'cache-control',
]); // prettier-ignore

/** The lines of a whole answer. */
export function answerShape(answer: ExchangeAnswer): string[] {
  const lines = [`status ${answer.status ?? 'none'}`, `end ${answer.end}`];
  const has = (name: string): boolean => answer.headers.some(([key]) => key === name);
  if (answer.status !== null) {
    lines.push(
      `framing ${has('transfer-encoding') ? 'chunked' : has('content-length') ? 'length' : 'close'}`,
    );
  }
  const shown = answer.headers.filter(([name]) => headersOfInterest.has(name));
  lines.push(
    ...shown.map(([name, value]) => `header ${name}: ${value.replace(/^[0-9a-f]{32}$/, '<hex>')}`).sort(),
  );
  const contentType = answer.headers.find(([name]) => name === 'content-type')?.[1] ?? '';
  if (contentType.startsWith('text/event-stream')) return [...lines, ...streamShape(answer.body)];
  if (answer.body === '') return [...lines, 'body empty'];
  if (contentType.startsWith('application/json')) return [...lines, ...jsonTextShape(answer.body)];
  return [...lines, `body of ${contentType === '' ? 'no type' : contentType}`];
}

/** Frames in order; a run of frames of one shape is shown once, since its length is the model's affair. */
function streamShape(body: string): string[] {
  const lines: string[] = [];
  let last = '';
  for (const frame of eventFrames(body)) {
    const head = `${frame.isWhole ? 'frame' : 'cut frame'}${frame.event === null ? '' : ` event=${frame.event}`}`;
    const data = frame.data === '[DONE]' || frame.data === null ? [] : jsonTextShape(frame.data);
    const special = frame.data === '[DONE]' ? ' [DONE]' : frame.comment === null ? '' : ' comment';
    const shape = [`${head}${special}`, ...data.map((line) => `  ${line}`)];
    const text = shape.join('\n');
    if (text !== last) lines.push(...shape);
    last = text;
  }
  return lines;
}

function jsonTextShape(text: string): string[] {
  try {
    return jsonShape(JSON.parse(text), '$', '');
  } catch {
    return ['body is not JSON'];
  }
}

/** One line per leaf: its path, its type and, where the protocol fixes it, its value. */
function jsonShape(value: unknown, path: string, key: string): string[] {
  if (value === null) return [`${path}: null`];
  if (Array.isArray(value)) {
    const length = countedKeys.has(key) ? String(value.length) : value.length === 0 ? '0' : '1+';
    const leaves = new Set(value.flatMap((element) => jsonShape(element, `${path}[]`, key)));
    return [`${path}: list of ${length}`, ...leaves];
  }
  if (typeof value === 'object') {
    const entries = Object.entries(value);
    if (entries.length === 0) return [`${path}: {}`];
    return entries
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([name, inner]) => jsonShape(inner, `${path}.${name}`, name));
  }
  if (typeof value === 'string') {
    if (wordKeys.has(key)) return [`${path}: "${normaliseText(value)}"`];
    if (identifierKeys.has(key)) return [`${path}: "${/^[a-z]+[-_]/.exec(value)?.[0] ?? ''}…"`];
    return [`${path}: ${value === '' ? 'empty string' : 'string'}`];
  }
  return [`${path}: ${valueKeys.has(key) ? String(value) : typeof value}`];
}

/** Takes out of a text what changes from run to run or from machine to machine. */
export function normaliseText(text: string): string {
  return text
    .replaceAll(/(?:\/[\w.+-]+){2,}/g, '<path>')
    .replaceAll(/\b[0-9a-f]{16,}\b/g, '<hex>')
    .replaceAll(/\d+(?:[.,]\d+)*/g, '#');
}

/** The bytes for the report: volatile values replaced, long answers shortened in the middle. */
export function showBytes(answer: ExchangeAnswer, limitChars: number): string {
  const head = `HTTP ${answer.status ?? '-'} (${answer.end})`;
  const headers = answer.headers
    .filter(([name]) => !['date', 'vary'].includes(name))
    .map(
      ([name, value]) =>
        `${name}: ${name === 'content-length' ? '#' : value.replace(/^[0-9a-f]{32}$/, '<hex>')}`,
    );
  const body = answer.body
    .replaceAll(/(?:\/[\w.+-]+){4,}/g, '<path>')
    .replaceAll(/(?<![.\d])(?<=[-_"\s])[0-9a-f]{16,}\b/g, '<hex>')
    .replaceAll(/"embedding":"[^"]{40,}"/g, '"embedding":"<base64>"')
    .replaceAll(/(?:-?\d[\d.e-]*,){8,}/g, '<numbers>,')
    .replaceAll(/"(created|created_at|completed_at)":\d+/g, '"$1":<time>')
    .replaceAll(/"system_fingerprint":"[^"]*"/g, '"system_fingerprint":"<fingerprint>"')
    .replaceAll(/(-?\d\.\d{4})\d{3,}(e-\d+)?/g, '$1…');
  return [head, ...headers, '', shorten(body, limitChars)].join('\n').trimEnd();
}

/** A text for the report without what names this machine or this minute. */
export function showText(text: string): string {
  return text
    .replaceAll(/(?:\/[\w.+-]+){2,}/g, '<path>')
    .replaceAll(/pid=\d+/g, 'pid=#')
    .replaceAll(/\b\d\d-\d\d \d\d:\d\d:\d\d\b/g, '<time>')
    .replaceAll(/(127\.0\.0\.1|'port'): ?\d+/g, '$1:#')
    .replaceAll(/\b[0-9a-f]{32}\b/g, '<hex>');
}

function shorten(text: string, limitChars: number): string {
  if (text.length <= limitChars) return text;
  const half = Math.floor(limitChars / 2);
  return `${text.slice(0, half)}\n[… ${text.length - 2 * half} characters …]\n${text.slice(-half)}`;
}
