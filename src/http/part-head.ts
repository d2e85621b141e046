/**
 * Reads the heads of a multipart form: its Content-Type, and the head of each part. Only what all readers understand
 * alike is taken; folded lines, `name*=`, escapes in names and whatever else two readers could take apart is refused.
 * Faults are texts for the error `form_malformed`.
 */
import { failure, type Result, success } from '../core/result.ts';

/** RFC 2046. */
const BOUNDARY_CHARS_MAX = 70;
const BOUNDARY = /^[0-9A-Za-z'()+_,\-./:=? ]*[0-9A-Za-z'()+_,\-./:=?]$/;
/** `; name=value`, the value bare or in quotes. */
const PARAMETER =
  /[ \t]*;[ \t]*([0-9A-Za-z_-]+\*?)=(?:"((?:[^"\\]|\\.)*)"|([0-9A-Za-z!#$%&'*+\-.^_`|~/:=?()]+))/y;
const HEADER_LINE = /^([0-9A-Za-z!#$%&'*+\-.^_`|~]+):[ \t]*(.*)$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;
/** A backslash escaped before a quote, or before the end: some readers take the quote for an escaped one. */
const UNCLEAR_QUOTE = /\\\\("|$)/;
const UTF8_CHARSETS: ReadonlySet<string> = new Set(['utf-8', 'utf8', 'us-ascii', 'ascii']);
const PLAIN_CODINGS: ReadonlySet<string> = new Set(['7bit', '8bit', 'binary']);

export interface PartHead {
  /** Bytes as Latin-1. */
  readonly name: string;
  /** It has a file's name: no field's value. */
  readonly isFile: boolean;
  /** What keeps its value from being read as UTF-8 text; null: nothing. */
  readonly unreadable: string | null;
  /** It has a Content-Length, which an edit of the value has to take along. */
  readonly hasLength: boolean;
}

/** The boundary of a form's `Content-Type`, whose type was checked already. */
export function readBoundary(contentType: string): Result<string, string> {
  const semicolon = contentType.indexOf(';');
  const parameters = semicolon < 0 ? new Map<string, string>() : readParameters(contentType, semicolon);
  if (parameters === null) return failure('the parameters of its Content-Type cannot be read');
  const charset = parameters.get('charset');
  if (charset !== undefined && !UTF8_CHARSETS.has(charset.toLowerCase())) {
    return failure('its Content-Type names another charset than utf-8');
  }
  const boundary = parameters.get('boundary');
  if (boundary === undefined) return failure('its Content-Type names no boundary');
  if (boundary.length > BOUNDARY_CHARS_MAX || !BOUNDARY.test(boundary)) {
    return failure(`its boundary is none of RFC 2046 (1 to ${BOUNDARY_CHARS_MAX} characters)`);
  }
  return success(boundary);
}

/** `text`: the lines of a part's head in Latin-1, without the empty line that ends it. */
export function readPartHead(text: string): Result<PartHead, string> {
  let disposition: string | null = null;
  let unreadable: string | null = null;
  let hasLength = false;
  for (const line of text.split('\r\n')) {
    const match = HEADER_LINE.exec(line);
    if (match === null || CONTROL.test(line))
      return failure('the head of a part holds a line that is no header');
    const [, name = '', value = ''] = match;
    switch (name.toLowerCase()) {
      case 'content-disposition':
        if (disposition !== null) return failure('a part has two Content-Disposition');
        disposition = value.trim();
        break;
      case 'content-type':
        unreadable ??= charsetFault(value);
        break;
      case 'content-transfer-encoding':
        if (!PLAIN_CODINGS.has(value.trim().toLowerCase())) unreadable = 'has a Content-Transfer-Encoding';
        break;
      case 'content-length':
        hasLength = true;
        break;
    }
  }
  if (disposition === null) return failure('a part has no Content-Disposition');
  const semicolon = disposition.indexOf(';');
  const type = (semicolon < 0 ? disposition : disposition.slice(0, semicolon)).trim().toLowerCase();
  if (type !== 'form-data') return failure('the Content-Disposition of a part is not form-data');
  const parameters = semicolon < 0 ? new Map<string, string>() : readParameters(disposition, semicolon);
  if (parameters === null) return failure('the Content-Disposition of a part cannot be read without doubt');
  const name = parameters.get('name');
  if (name === undefined) return failure('a part has no name');
  if (name.includes('\\')) return failure('the name of a part holds a backslash');
  return success({
    name,
    isFile: parameters.has('filename') || parameters.has('filename*'),
    unreadable,
    hasLength,
  });
}

/** Null: not to be read, or not in one way only. Names in lower case. */
function readParameters(text: string, from: number): Map<string, string> | null {
  const parameters = new Map<string, string>();
  let at = from;
  while (at < text.length) {
    PARAMETER.lastIndex = at;
    const match = PARAMETER.exec(text);
    if (match === null) return null;
    at = PARAMETER.lastIndex;
    const name = (match[1] ?? '').toLowerCase();
    const quoted = match[2];
    if (parameters.has(name) || (name.endsWith('*') && name !== 'filename*')) return null;
    if (quoted !== undefined && UNCLEAR_QUOTE.test(quoted)) return null;
    parameters.set(name, quoted ?? match[3] ?? '');
  }
  return parameters;
}

function charsetFault(contentType: string): string | null {
  if (!/charset/i.test(contentType)) return null;
  const charset = /;[ \t]*charset="?([0-9A-Za-z-]+)"?[ \t]*$/i.exec(contentType)?.[1];
  return charset !== undefined && UTF8_CHARSETS.has(charset.toLowerCase()) ? null : 'has a charset';
}
