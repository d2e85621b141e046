/** Bad bodies in the words of FastAPI and pydantic, as vLLM's handler of validation errors puts them. */
import { ApiError, type Exchange, type JsonObject } from './exchange.ts';

/** One entry of pydantic's list of errors. */
interface ValidationIssue {
  readonly type: string;
  readonly loc: string;
  readonly msg: string;
  readonly input: unknown;
  /** As Python prints it. */
  readonly context?: string;
}

export function validationError(issues: readonly ValidationIssue[]): ApiError {
  const label = issues.length === 1 ? 'error' : 'errors';
  const lines = issues.map((issue) => `  ${issueText(issue)}\n`);
  const message = `${issues.length} validation ${label}:\n${lines.join('')}`.trimEnd();
  return new ApiError(400, 'Bad Request', message, issues[0]?.loc ?? null);
}

function issueText(issue: ValidationIssue): string {
  const parts = [
    `'type': ${pythonText(issue.type)}`,
    `'loc': ${pythonText(issue.loc)}`,
    `'msg': ${pythonText(issue.msg)}`,
    `'input': ${inputText(issue.input)}`,
  ];
  if (issue.context !== undefined) parts.push(`'ctx': ${issue.context}`);
  return `{${parts.join(', ')}}`;
}

function inputText(value: unknown): string {
  if (Array.isArray(value)) return `'<list of ${value.length} items>'`;
  if (value !== null && typeof value === 'object') return `'<dict of ${Object.keys(value).length} items>'`;
  if (typeof value === 'string')
    return pythonText(value.length > 200 ? `${value.slice(0, 200)}...[truncated]` : value);
  if (value === null || value === undefined) return `'None'`;
  if (typeof value === 'boolean') return value ? `'True'` : `'False'`;
  return `'${String(value)}'`;
}

function pythonText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
  return `${quote}${quote === "'" ? escaped.replaceAll("'", "\\'") : escaped}${quote}`;
}

/** vLLM's dependency on JSON routes: the media type must be named, whatever the body is. */
export function requireJsonType(exchange: Exchange): void {
  const given = (exchange.request.headers['content-type'] ?? '').toLowerCase().split(';')[0];
  if (given === 'application/json') return;
  throw new ApiError(
    400,
    'Bad Request',
    "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed",
  );
}

const MISSING_BODY: ValidationIssue = { type: 'missing', loc: 'body', msg: 'Field required', input: null };

/** Python's parser takes NaN and the infinities for numbers; no field that we read has a use for them. */
function withoutPythonNumbers(text: string): string {
  if (!/NaN|Infinity/.test(text)) return text;
  return text.replaceAll(/"(?:[^"\\]|\\.)*"|NaN|-?Infinity/g, (found) =>
    found.startsWith('"') ? found : 'null',
  );
}

/** A JSON object, or the error that FastAPI would raise. */
export function parseJsonObject(body: Buffer): JsonObject {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    throw new ApiError(400, 'Bad Request', 'There was an error parsing the body');
  }
  if (text.trim() === '') {
    throw validationError([MISSING_BODY]);
  }
  let value: unknown;
  try {
    value = JSON.parse(withoutPythonNumbers(text));
  } catch (error) {
    const position = /position (\d+)/.exec(String(error))?.[1] ?? String(text.length);
    throw validationError([
      {
        type: 'json_invalid',
        loc: `body.${position}`,
        msg: 'JSON decode error',
        input: {},
        context: "{'error': 'Expecting value'}",
      },
    ]);
  }
  if (value === null) throw validationError([MISSING_BODY]);
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw validationError([
      {
        type: 'model_attributes_type',
        loc: 'body',
        msg: 'Input should be a valid dictionary or object to extract fields from',
        input: value,
      },
    ]);
  }
  return value as JsonObject;
}

type Kind = 'string' | 'integer' | 'number' | 'boolean' | 'list' | 'object';

const ISSUES: Readonly<Record<Kind, readonly [string, string]>> = {
  string: ['string_type', 'Input should be a valid string'],
  integer: ['int_type', 'Input should be a valid integer'],
  number: ['float_type', 'Input should be a valid number'],
  boolean: ['bool_type', 'Input should be a valid boolean'],
  list: ['list_type', 'Input should be a valid list'],
  object: ['dict_type', 'Input should be a valid dictionary'],
};

/** Checks the named fields (null and absent are fine unless required), all of them before it throws. */
export function checkFields(
  body: JsonObject,
  fields: Readonly<Record<string, Kind>>,
  required: readonly string[] = [],
): void {
  const issues: ValidationIssue[] = [];
  for (const name of required) {
    if (body[name] === undefined) {
      issues.push({ type: 'missing', loc: `body.${name}`, msg: 'Field required', input: body });
    }
  }
  for (const [name, kind] of Object.entries(fields)) {
    const value = body[name];
    if (value === undefined || (value === null && !required.includes(name)) || fits(value, kind)) continue;
    const [type, msg] =
      typeof value === 'string' && kind !== 'list' && kind !== 'object' ? parsing(kind) : ISSUES[kind];
    issues.push({ type, loc: `body.${name}`, msg, input: value });
  }
  if (issues.length > 0) throw validationError(issues);
}

function parsing(kind: Kind): readonly [string, string] {
  if (kind === 'integer') {
    return ['int_parsing', 'Input should be a valid integer, unable to parse string as an integer'];
  }
  if (kind === 'number') {
    return ['float_parsing', 'Input should be a valid number, unable to parse string as a number'];
  }
  return ['bool_parsing', 'Input should be a valid boolean, unable to interpret input'];
}

/** Checks that a text is one of some words; `lists`: a union of such types, each of which complains. */
export function checkWords(
  body: JsonObject,
  name: string,
  lists: readonly (readonly [string, ...string[]])[],
): void {
  const value = body[name];
  if (value === undefined || lists.some((words) => words.some((word) => word === value))) return;
  throw validationError(
    lists.map((words) => {
      const quoted = words.map((word) => `'${word}'`);
      const last = quoted.at(-1) ?? '';
      const expected = quoted.length === 1 ? last : `${quoted.slice(0, -1).join(', ')} or ${last}`;
      return {
        type: 'literal_error',
        loc: `body.${name}`,
        msg: `Input should be ${expected}`,
        input: value,
        context: `{'expected': ${pythonText(expected)}}`,
      };
    }),
  );
}

/** pydantic is lax: numbers and booleans may come as text. */
function fits(value: unknown, kind: Kind): boolean {
  switch (kind) {
    case 'string':
      return typeof value === 'string';
    case 'integer':
      return Number.isInteger(lax(value));
    case 'number':
      return Number.isFinite(lax(value));
    case 'boolean':
      return typeof value === 'boolean' || value === 0 || value === 1 || BOOLEAN_WORD.test(String(value));
    case 'list':
      return Array.isArray(value);
    case 'object':
      return value !== null && typeof value === 'object' && !Array.isArray(value);
  }
}

const BOOLEAN_WORD = /^(true|false|yes|no|on|off|t|f|y|n|0|1)$/i;

function lax(value: unknown): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return Number(value);
  return typeof value === 'string' && value.trim() !== '' ? Number(value) : Number.NaN;
}

/** A checked number. */
export function numberOf(body: JsonObject, name: string): number | null {
  const value = body[name];
  return value === undefined || value === null ? null : lax(value);
}

/** A checked boolean. */
export function booleanOf(body: JsonObject, name: string): boolean {
  const value = body[name];
  return value === true || value === 1 || (typeof value === 'string' && /^(true|yes|on|t|y|1)$/i.test(value));
}

export function objectOf(value: unknown): JsonObject | null {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as JsonObject) : null;
}
