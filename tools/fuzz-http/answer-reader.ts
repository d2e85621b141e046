/** Reads what came back on one connection, strictly: a broken answer is a finding, not something to be read around. */

export interface ReadAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  /** False: the connection ended within it. */
  readonly complete: boolean;
}

export interface ReadAnswers {
  readonly answers: readonly ReadAnswer[];
  /** What is no HTTP answer; null: nothing. */
  readonly fault: string | null;
}

const STATUS_LINE = /^HTTP\/1\.1 ([1-5][0-9]{2}) [\t\x20-\x7e\x80-\xff]*$/;
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/;
const SHOWN_CHARS = 200;

/** `methods`: of the requests in their order; beyond them GET is taken. */
export function readAnswers(bytes: string, methods: readonly string[], ended: boolean): ReadAnswers {
  const answers: ReadAnswer[] = [];
  let at = 0;
  while (at < bytes.length) {
    const headEnd = bytes.indexOf('\r\n\r\n', at);
    if (headEnd < 0) break;
    const [statusLine = '', ...lines] = bytes.slice(at, headEnd).split('\r\n');
    const status = Number(STATUS_LINE.exec(statusLine)?.[1] ?? 0);
    const headers = fieldsOf(lines);
    if (status === 0 || headers === null)
      return { answers, fault: `no answer: ${JSON.stringify(bytes.slice(at, at + SHOWN_CHARS))}` };
    at = headEnd + 4;
    if (status < 200) continue;
    const bodiless = methods[answers.length] === 'HEAD' || status === 204 || status === 304;
    const taken = bodiless ? { body: '', end: at, complete: true } : takeBody(bytes, at, headers, ended);
    if (taken === null) return { answers, fault: `a body that is none after ${statusLine}` };
    if (taken.end < 0) break;
    answers.push({ status, headers, body: taken.body, complete: taken.complete });
    at = taken.end;
  }
  return { answers, fault: null };
}

/** Null: it is malformed. `end` -1: more must come. */
function takeBody(
  bytes: string,
  from: number,
  headers: ReadonlyMap<string, string>,
  ended: boolean,
): { body: string; end: number; complete: boolean } | null {
  const cut = { body: bytes.slice(from), end: ended ? bytes.length : -1, complete: false };
  const length = headers.get('content-length');
  const coding = headers.get('transfer-encoding');
  if (length !== undefined && coding !== undefined) return null;
  if (length !== undefined) {
    if (!/^[0-9]+$/.test(length)) return null;
    const end = from + Number(length);
    return end > bytes.length ? cut : { body: bytes.slice(from, end), end, complete: true };
  }
  if (coding === undefined) return { ...cut, complete: ended };
  if (coding !== 'chunked') return null;
  let at = from;
  let body = '';
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return cut;
    const sizeText = bytes.slice(at, lineEnd);
    if (!/^[0-9a-f]+$/.test(sizeText)) return null;
    const size = Number.parseInt(sizeText, 16);
    const end = lineEnd + 2 + size + 2;
    if (bytes.length < end) return cut;
    if (bytes.slice(end - 2, end) !== '\r\n') return null;
    if (size === 0) return { body, end, complete: true };
    body += bytes.slice(lineEnd + 2, end - 2);
    at = end;
  }
}

function fieldsOf(lines: readonly string[]): Map<string, string> | null {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const match = FIELD.exec(line);
    if (match === null) return null;
    const [, name = '', value = ''] = match;
    const before = headers.get(name.toLowerCase());
    headers.set(name.toLowerCase(), before === undefined ? value : `${before}, ${value}`);
  }
  return headers;
}
